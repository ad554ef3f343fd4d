"""Every condition that entrepot raises on purpose, and what a client sees of it.

Who has to act decides the branch, because that is what the code that catches it needs to know:

* ``Refusal``    the caller: the request is understood and will not be done. Answered, not logged.
* ``Busy``       nobody: the same request may succeed after ``retry_after``. Answered, counted.
* ``PeerFault``  the other node: it broke the protocol. Drop it, go on with another one.
* ``UpstreamFault``  a server that a rule names: tell who wrote the rule, and try again.
* ``Damaged``    us: bytes of ours fail their check. Never served; repaired from a peer.

Anything else that reaches the top of a connection is a bug: a bare 500, a traceback in the log.

Source: OCI distribution-spec 1.1, "Error Codes"; Amazon ECR API reference, "Common Errors".
"""

from collections.abc import Mapping
from typing import ClassVar


class EntrepotError(Exception):
    """Root of the tree; catch it nowhere but at the top of a task."""


class Refusal(EntrepotError):
    """The request will not be done. Each kind names its faces side by side, so none is forgotten."""

    status: ClassVar[int]  # HTTP status at the OCI front door; the ECR API always answers 400.
    oci: ClassVar[str]  # Code in an OCI error body.
    ecr: ClassVar[str]  # Exception name in the ECR API.
    headers: tuple[tuple[str, str], ...] = ()
    """What goes with the answer beside the body, such as how far an upload has come. Lower-case names."""
    members: Mapping[str, object] = {}
    """What an error of the ECR API carries beside its message, by the names of its model."""


class ParameterInvalid(Refusal):
    """A query parameter, header or field is not what it has to be."""

    status, oci, ecr = 400, "UNSUPPORTED", "InvalidParameterException"


class NameInvalid(Refusal):
    """A repository name is not one."""

    status, oci, ecr = 400, "NAME_INVALID", "InvalidParameterException"


class TagInvalid(Refusal):
    """A tag is not one."""

    status, oci, ecr = 400, "MANIFEST_INVALID", "InvalidParameterException"


class DigestInvalid(Refusal):
    """A digest is not one, or is not that of the content."""

    status, oci, ecr = 400, "DIGEST_INVALID", "InvalidLayerException"


class ManifestDigestInvalid(DigestInvalid):
    """The digest that was given with a manifest is another one than its own."""

    ecr = "ImageDigestDoesNotMatchException"


class SizeInvalid(Refusal):
    """The length that was announced is not the length that came."""

    status, oci, ecr = 400, "SIZE_INVALID", "InvalidLayerPartException"


class ManifestInvalid(Refusal):
    """A manifest is not one, or two readers could read it differently."""

    status, oci, ecr = 400, "MANIFEST_INVALID", "InvalidParameterException"


class ManifestBlobUnknown(Refusal):
    """A manifest names a blob that is not in the repository, or a manifest."""

    status, oci, ecr = 400, "MANIFEST_BLOB_UNKNOWN", "LayersNotFoundException"


class ManifestChildUnknown(ManifestBlobUnknown):
    """An index names a manifest that is not in the repository."""

    ecr = "ReferencedImagesNotFoundException"


class Denied(Refusal):
    """The policies do not allow it. Said before anything is looked up, so it tells nothing more."""

    status, oci, ecr = 403, "DENIED", "AccessDeniedException"
    action = ""
    resource = ""
    """What was refused, for the audit; empty where no policy was asked."""


class ScopeInsufficient(Denied):
    """The token is not for this; a client that asks for another one may get it."""

    status, oci, ecr = 401, "UNAUTHORIZED", "AccessDeniedException"


class SignatureMissing(Refusal):
    """The request says nothing of who sends it."""

    status, oci, ecr = 401, "UNAUTHORIZED", "MissingAuthenticationTokenException"


class SignatureIncomplete(Refusal):
    """The signature of the request lacks a part, or leaves out what has to be signed."""

    status, oci, ecr = 403, "DENIED", "IncompleteSignature"


class SignatureInvalid(Refusal):
    """The signature is not that of this request, or for another region or service."""

    status, oci, ecr = 403, "DENIED", "InvalidSignatureException"


class SignatureExpired(Refusal):
    """The request was signed too long ago, or by a clock that is ahead."""

    status, oci, ecr = 403, "DENIED", "InvalidSignatureException"


class TokenInvalid(Refusal):
    """A bearer token that this registry did not issue, or not for this."""

    status, oci, ecr = 401, "UNAUTHORIZED", "UnrecognizedClientException"


class TokenExpired(Refusal):
    """A token whose time is over. ECR says 403, and clients of ECR wait for that."""

    status, oci, ecr = 403, "DENIED", "ExpiredTokenException"


class SessionTooLarge(Refusal):
    """The policy and the tags of a session are more than its token can hold."""

    status, oci, ecr = 400, "UNSUPPORTED", "PackedPolicyTooLargeException"


class IdentityTokenInvalid(Refusal):
    """An identity token that no trusted issuer made for this registry; or its issuer cannot be asked."""

    status, oci, ecr = 403, "DENIED", "InvalidIdentityTokenException"


class IdentityTokenExpired(Refusal):
    """An identity token whose time is over."""

    status, oci, ecr = 403, "DENIED", "ExpiredTokenException"


class IssuerUnreachable(Refusal):
    """A trusted issuer does not answer, or not with what it has to; the message says how, for people."""

    status, oci, ecr = 403, "DENIED", "IDPCommunicationErrorException"


class KeyUnknown(Refusal):
    """There is no such access key, or it may not be used."""

    status, oci, ecr = 403, "DENIED", "UnrecognizedClientException"


class CredentialsWrong(Refusal):
    """A user name and a password that do not belong together. Says nothing of which of them is wrong."""

    status, oci, ecr = 401, "UNAUTHORIZED", "UnrecognizedClientException"


class NameUnknown(Refusal):
    """No such repository."""

    status, oci, ecr = 404, "NAME_UNKNOWN", "RepositoryNotFoundException"


class ManifestUnknown(Refusal):
    """No such tag or manifest digest in the repository."""

    status, oci, ecr = 404, "MANIFEST_UNKNOWN", "ImageNotFoundException"


class ImageInaccessible(ManifestUnknown):
    """The image is in the archive: it has to be brought back before anyone can pull it."""


class BlobUnknown(Refusal):
    """No such blob in the repository."""

    status, oci, ecr = 404, "BLOB_UNKNOWN", "LayersNotFoundException"


class LayerInaccessible(BlobUnknown):
    """The layer is here and is given to nobody: only archived images name it, or none does."""

    status, oci, ecr = 404, "BLOB_UNKNOWN", "LayerInaccessibleException"


class UploadUnknown(Refusal):
    """No such upload in the repository: never begun, finished, cancelled or expired."""

    status, oci, ecr = 404, "BLOB_UPLOAD_UNKNOWN", "UploadNotFoundException"


class EmptyUpload(Refusal):
    """The upload is to be completed, and no part came."""

    status, oci, ecr = 400, "BLOB_UPLOAD_INVALID", "EmptyUploadException"


class PartTooSmall(Refusal):
    """A part of the upload that is not its last is smaller than parts may be."""

    status, oci, ecr = 400, "BLOB_UPLOAD_INVALID", "LayerPartTooSmallException"


class LayerExists(Refusal):
    """The repository has the blob already. Clients take that as success."""

    status, oci, ecr = 409, "DENIED", "LayerAlreadyExistsException"


class UploadInvalid(Refusal):
    """The upload cannot go on like this."""

    status, oci, ecr = 400, "BLOB_UPLOAD_INVALID", "InvalidLayerPartException"


class UploadRange(Refusal):
    """A part does not begin where the upload ends."""

    status, oci, ecr = 416, "BLOB_UPLOAD_INVALID", "InvalidLayerPartException"


class RangeUnsatisfiable(Refusal):
    """No byte of the content lies in the range that was asked for."""

    status, oci, ecr = 416, "UNSUPPORTED", "InvalidParameterException"


class BlobInUse(Refusal):
    """A manifest of the repository names this blob."""

    status, oci, ecr = 405, "UNSUPPORTED", "InvalidParameterException"


class ImageInUse(Refusal):
    """An index of the repository names this manifest."""

    status, oci, ecr = 405, "UNSUPPORTED", "ImageReferencedByManifestList"


class RepositoryExists(Refusal):
    """A repository that is to be created is there."""

    status, oci, ecr = 409, "DENIED", "RepositoryAlreadyExistsException"


class RepositoryNotEmpty(Refusal):
    """There are images in the repository that is to be deleted."""

    status, oci, ecr = 409, "DENIED", "RepositoryNotEmptyException"


class ImageExists(Refusal):
    """The image is there, under this tag."""

    status, oci, ecr = 409, "DENIED", "ImageAlreadyExistsException"


class TagElsewhere(Refusal):
    """The tag and the digest that are given together are of two images."""

    status, oci, ecr = 400, "MANIFEST_UNKNOWN", "ImageNotFoundException"


class TagImmutable(Refusal):
    """The tag is there and must not move."""

    status, oci, ecr = 400, "TAG_INVALID", "ImageTagAlreadyExistsException"


class ManifestTooLarge(Refusal):
    """A manifest is larger than the node takes."""

    status, oci, ecr = 413, "SIZE_INVALID", "InvalidParameterException"


class UploadLocked(Refusal):
    """Another request is writing to this upload."""

    status, oci, ecr = 409, "BLOB_UPLOAD_INVALID", "InvalidLayerPartException"


class Unsupported(Refusal):
    """The operation does not exist, or not for this."""

    status, oci, ecr = 405, "UNSUPPORTED", "UnsupportedCommandException"


class RuleInvalid(Refusal):
    """A rule or policy document is not one; the message names the place."""

    status, oci, ecr = 400, "UNSUPPORTED", "InvalidParameterException"


class PolicyInvalid(Refusal):
    """A policy document is not one; the message names the place."""

    status, oci, ecr = 400, "UNSUPPORTED", "InvalidParameterException"


class RuleUnknown(Refusal):
    """No such rule."""

    status, oci, ecr = 404, "UNSUPPORTED", "PullThroughCacheRuleNotFoundException"


class LimitExceeded(Refusal):
    """There are as many as there may be. Clients try again: nothing was done, and saying so costs little."""

    status, oci, ecr = 400, "DENIED", "LimitExceededException"


class ValidationFailed(Refusal):
    """Each field is well formed and together they are not, or a name is none of those that there are."""

    status, oci, ecr = 400, "UNSUPPORTED", "ValidationException"


class RepositoryPolicyUnknown(Refusal):
    """The repository has no policy."""

    status, oci, ecr = 404, "UNSUPPORTED", "RepositoryPolicyNotFoundException"


class RegistryPolicyUnknown(Refusal):
    """The registry has no policy."""

    status, oci, ecr = 404, "UNSUPPORTED", "RegistryPolicyNotFoundException"


class LifecyclePolicyUnknown(Refusal):
    """The repository has no lifecycle policy."""

    status, oci, ecr = 404, "UNSUPPORTED", "LifecyclePolicyNotFoundException"


class PreviewUnknown(Refusal):
    """No lifecycle policy was previewed for the repository."""

    status, oci, ecr = 404, "UNSUPPORTED", "LifecyclePolicyPreviewNotFoundException"


class PreviewInProgress(Refusal):
    """The preview before is still being worked out."""

    status, oci, ecr = 409, "UNSUPPORTED", "LifecyclePolicyPreviewInProgressException"


class TemplateExists(Refusal):
    """There is a creation template of this prefix."""

    status, oci, ecr = 409, "UNSUPPORTED", "TemplateAlreadyExistsException"


class TemplateUnknown(Refusal):
    """No creation template has this prefix."""

    status, oci, ecr = 404, "UNSUPPORTED", "TemplateNotFoundException"


class RuleExists(Refusal):
    """There is a pull-through rule of this prefix."""

    status, oci, ecr = 409, "UNSUPPORTED", "PullThroughCacheRuleAlreadyExistsException"


class UpstreamUnsupported(Refusal):
    """Nothing is pulled through from such a registry."""

    status, oci, ecr = 400, "UNSUPPORTED", "UnsupportedUpstreamRegistryException"


class ScanUnknown(Refusal):
    """The image was never scanned."""

    status, oci, ecr = 404, "UNSUPPORTED", "ScanNotFoundException"


class ImageArchived(Refusal):
    """The image is in the archive, and this is for what is not."""

    status, oci, ecr = 409, "UNSUPPORTED", "ImageArchivedException"


class StorageClassUnsupported(Refusal):
    """The image cannot go to this storage class from where it is."""

    status, oci, ecr = 409, "UNSUPPORTED", "ImageStorageClassUpdateNotSupportedException"


class SigningUnknown(Refusal):
    """No signing configuration was put."""

    status, oci, ecr = 404, "UNSUPPORTED", "SigningConfigurationNotFoundException"


class ExclusionExists(Refusal):
    """Pulls of this principal are left out already."""

    status, oci, ecr = 409, "UNSUPPORTED", "ExclusionAlreadyExistsException"


class ExclusionUnknown(Refusal):
    """Pulls of this principal are not left out."""

    status, oci, ecr = 404, "UNSUPPORTED", "ExclusionNotFoundException"


class BackfillInProgress(Refusal):
    """A backfill to that region is under way."""

    status, oci, ecr = 409, "UNSUPPORTED", "ReplicationBackfillInProgressException"


class BackfillUnknown(Refusal):
    """No such backfill, or it ended long ago."""

    status, oci, ecr = 404, "UNSUPPORTED", "ReplicationBackfillNotFoundException"


class BackfillEnded(Refusal):
    """A backfill that has ended, or is stopping, cannot be stopped."""

    status, oci, ecr = 409, "UNSUPPORTED", "ReplicationBackfillInvalidStatusException"


class KeyUnusable(Refusal):
    """The KMS key that something is kept under is not there, or may not be used now."""

    status, oci, ecr = 403, "DENIED", "KmsException"

    def __init__(self, reason: str, text: str) -> None:
        """*reason* is what KMS calls it, such as ``DisabledException``."""
        super().__init__(text)
        self.members = {"kmsError": reason}


class PrincipalUnknown(Refusal):
    """No such user, group, role, key or policy."""

    status, oci, ecr = 404, "UNSUPPORTED", "ValidationException"


class PrincipalExists(Refusal):
    """The name of a user, group, role or policy is taken, or something hangs on what is to be deleted."""

    status, oci, ecr = 409, "UNSUPPORTED", "ValidationException"


class EventsGone(Refusal):
    """Events are asked for of records that the journal no longer has."""

    status, oci, ecr = 410, "UNSUPPORTED", "InvalidParameterException"


class WebhookUnknown(Refusal):
    """No such webhook."""

    status, oci, ecr = 404, "UNSUPPORTED", "InvalidParameterException"


class NotReady(Refusal):
    """The node is not set up for this; the message names the command that does it."""

    status, oci, ecr = 409, "UNSUPPORTED", "ValidationException"


class BackupUnknown(Refusal):
    """There is no backup at the place that was named, or none that came to its end."""

    status, oci, ecr = 404, "UNSUPPORTED", "ValidationException"


class ReloadRefused(Refusal):
    """A changed configuration is not taken over, for something in it is wrong; the message says what, and where."""

    status, oci, ecr = 422, "UNSUPPORTED", "ValidationException"


class InvitationRefused(Refusal):
    """A token to join with that is unknown, used or out of date."""

    status, oci, ecr = 403, "DENIED", "AccessDeniedException"


class TagsInvalid(Refusal):
    """Resource tags that are none."""

    status, oci, ecr = 400, "UNSUPPORTED", "InvalidTagParameterException"


class TooManyTags(Refusal):
    """More resource tags than a repository may have."""

    status, oci, ecr = 400, "UNSUPPORTED", "TooManyTagsException"


class InputMalformed(Refusal):
    """The body of a call of the API is not JSON, or not what can be read as such."""

    status, oci, ecr = 400, "UNSUPPORTED", "SerializationException"


class OperationUnknown(Refusal):
    """The API has no such operation."""

    status, oci, ecr = 404, "UNSUPPORTED", "UnknownOperationException"


class InputTooLarge(Refusal):
    """The body of a call of the API is larger than any that means something."""

    status, oci, ecr = 413, "SIZE_INVALID", "RequestEntityTooLargeException"


class InputTooSlow(Refusal):
    """The body of a call of the API did not come in time."""

    status, oci, ecr = 408, "UNKNOWN", "RequestTimeoutException"


class RegistryUnknown(Refusal):
    """This node serves no such registry."""

    status, oci, ecr = 404, "NAME_UNKNOWN", "RegistryNotFoundException"


class Busy(Refusal):
    """Not now: a limit, a missing peer, a full disk."""

    status, oci, ecr = 503, "TOOMANYREQUESTS", "ServerException"
    retry_after: ClassVar[int] = 1  # Seconds.


class TooManyAttempts(Busy):
    """More passwords than can be looked at; the right one may be among them, at another time."""

    status, oci, ecr = 429, "TOOMANYREQUESTS", "ThrottlingException"


class TooSlow(Busy):
    """A client sends more slowly than others can wait for; what came is kept where the protocol allows it."""


class StoreFull(Busy):
    """No room to write; reads go on. An operator adds disk, or the cache evicts."""

    status, oci, ecr = 507, "DENIED", "LimitExceededException"
    retry_after = 10


class StoreReadOnly(Busy):
    """A write to the disk failed; reads go on, and writes as soon as the disk works again."""

    status, oci, ecr = 503, "DENIED", "ServerException"
    retry_after = 10


class ReadOnly(Busy):
    """Nobody may change content here for now, by order or because the clock is wrong; pulls go on.

    405 and DENIED is what clients stop at and show. At a 503 docker 20.10 prints "Retrying" for a minute, podman 4.3
    and skopeo 1.9 nothing but the number; at UNSUPPORTED podman tries again.
    """

    status, oci, ecr = 405, "DENIED", "AccessDeniedException"
    headers = (("allow", "GET, HEAD"),)
    retry_after = 60


class NoSource(Busy):
    """No reachable peer holds what was asked for."""

    status, oci, ecr = 503, "UNKNOWN", "UnableToGetUpstreamImageException"


class UpstreamFault(EntrepotError):
    """A server that a rule names did not answer as it should; the message says how, for people."""


class NotReached(UpstreamFault):
    """There is no connection to it: no address that may be dialled, nobody there, or not who it should be."""


class PeerFault(EntrepotError):
    """A peer sent what no correct peer sends."""


class Damaged(EntrepotError):
    """Stored bytes do not match the check value stored with them."""
