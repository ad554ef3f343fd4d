"""The table of this door, and the application that serves it."""

from node.api.admin import backup, check, events, images, kms, operation, peers, replication, scrub, status, webhooks
from node.api.admin.answer import Admin, Handler, answer, failed
from node.api.admin.resources import RESOURCES
from node.http.message import Application, Request, Response
from node.http.router import MethodNotAllowed, NotFound, Route, Router
from protocol.auth.caller import Caller, root_of

_IMAGE = "/admin/v1/repositories/{name}/images/{reference}"
_WEBHOOK = "/admin/v1/webhooks/{name}"
_PULL_THROUGH = "/admin/v1/pull-through"

ROUTES: tuple[Route[Handler], ...] = (
    *(Route(one.method, f"/admin/v1{one.path}", one.action, one.handler) for one in RESOURCES),
    Route("GET", "/admin/v1/healthz", "ecr:DescribeRegistry", status.get_health),
    Route("GET", "/admin/v1/version", "ecr:DescribeRegistry", status.get_version),
    Route("GET", "/admin/v1/alarms", "ecr:DescribeRegistry", operation.get_alarms),
    Route("GET", "/admin/v1/activity", "ecr:DescribeRegistry", operation.get_activity),
    Route("GET", "/admin/v1/doctor", "ecr:DescribeRegistry", operation.get_doctor),
    Route("POST", "/admin/v1/reload", "ecr:PutAccountSetting", operation.post_reload),
    Route("GET", "/admin/v1/read-only", "ecr:GetAccountSetting", operation.get_read_only),
    Route("PUT", "/admin/v1/read-only", "ecr:PutAccountSetting", operation.put_read_only),
    Route("DELETE", "/admin/v1/read-only", "ecr:PutAccountSetting", operation.delete_read_only),
    Route("GET", "/admin/v1/repositories", "ecr:DescribeRepositories", images.get_repositories),
    Route("DELETE", "/admin/v1/repositories/{name}", "ecr:DeleteRepository", images.delete_repository),
    Route("GET", "/admin/v1/repositories/{name}/tags", "ecr:ListImages", images.get_tags),
    Route("GET", _IMAGE, "ecr:DescribeImages", images.get_image),
    Route("DELETE", _IMAGE, "ecr:BatchDeleteImage", images.delete_image),
    Route("POST", "/admin/v1/collection", "ecr:BatchDeleteImage", images.post_collection),
    Route("GET", "/admin/v1/usage", "ecr:DescribeRegistry", images.get_usage),
    Route("PUT", "/admin/v1/replication", "ecr:PutReplicationConfiguration", replication.put_replication_rules),
    Route("GET", "/admin/v1/replication", "ecr:DescribeRegistry", replication.get_replication_rules),
    Route(
        "GET",
        "/admin/v1/replication/status",
        "ecr:DescribeImageReplicationStatus",
        replication.get_replication_status,
    ),
    Route("PUT", _PULL_THROUGH, "ecr:CreatePullThroughCacheRule", replication.put_pull_through_rule),
    Route("GET", _PULL_THROUGH, "ecr:DescribePullThroughCacheRules", replication.get_pull_through_rules),
    Route("DELETE", _PULL_THROUGH, "ecr:DeletePullThroughCacheRule", replication.delete_pull_through_rule),
    Route("GET", "/admin/v1/kms/keys", "kms:ListKeys", kms.get_keys),
    Route("POST", "/admin/v1/kms/keys", "kms:CreateKey", kms.post_key),
    Route("POST", "/admin/v1/kms/rotate", "kms:RotateKeyOnDemand", kms.post_rotate),
    Route("POST", "/admin/v1/kms/disable", "kms:DisableKey", kms.post_disable),
    Route("POST", "/admin/v1/kms/enable", "kms:EnableKey", kms.post_enable),
    Route("POST", "/admin/v1/kms/schedule-deletion", "kms:ScheduleKeyDeletion", kms.post_deletion),
    Route("POST", "/admin/v1/master-key/rotate", "entrepot:RotateMasterKey", kms.post_master),
    Route("GET", "/admin/v1/events", "ecr:DescribeImages", events.get_events),
    Route("GET", "/admin/v1/webhooks", "ecr:GetRegistryPolicy", webhooks.get_all),
    Route("PUT", _WEBHOOK, "ecr:PutRegistryPolicy", webhooks.put_one),
    Route("GET", _WEBHOOK, "ecr:GetRegistryPolicy", webhooks.get_one),
    Route("DELETE", _WEBHOOK, "ecr:PutRegistryPolicy", webhooks.delete_one),
    Route("POST", f"{_WEBHOOK}/pause", "ecr:PutRegistryPolicy", webhooks.pause),
    Route("POST", f"{_WEBHOOK}/resume", "ecr:PutRegistryPolicy", webhooks.resume),
    Route("POST", f"{_WEBHOOK}/clear", "ecr:PutRegistryPolicy", webhooks.clear),
    Route("POST", f"{_WEBHOOK}/rotate", "ecr:PutRegistryPolicy", webhooks.rotate),
    Route("POST", f"{_WEBHOOK}/replay", "ecr:PutRegistryPolicy", webhooks.replay),
    Route("POST", f"{_WEBHOOK}/test", "ecr:PutRegistryPolicy", webhooks.test),
    Route("POST", "/admin/v1/scrub", "entrepot:Scrub", scrub.post_scrub),
    Route("GET", "/admin/v1/scrub", "entrepot:DescribeScrub", scrub.get_scrub),
    Route("GET", "/admin/v1/damage", "entrepot:DescribeScrub", scrub.get_damage),
    Route("POST", "/admin/v1/invitations", "ecr:PutRegistryPolicy", peers.post_invitation),
    Route("GET", "/admin/v1/authority", "ecr:DescribeRegistry", peers.get_authority),
    Route("POST", "/admin/v1/trust", "ecr:PutRegistryPolicy", peers.post_trust),
    Route("GET", "/admin/v1/trust", "ecr:GetRegistryPolicy", peers.get_trust),
    Route("DELETE", "/admin/v1/trust/{account}", "ecr:DeleteRegistryPolicy", peers.delete_trust),
    Route("POST", "/admin/v1/check", "entrepot:Check", check.post_check),
    Route("GET", "/admin/v1/check", "entrepot:Check", check.get_check),
    Route("GET", "/admin/v1/backup", "entrepot:Backup", backup.get_start),
    Route("GET", "/admin/v1/backup/record", "entrepot:Backup", backup.get_record),
    Route("GET", "/admin/v1/backup/records", "entrepot:Backup", backup.get_records),
    Route("GET", "/admin/v1/backup/rows/{table}", "entrepot:Backup", backup.get_rows),
    Route("GET", "/admin/v1/backup/blobs/{digest}", "entrepot:Backup", backup.get_blob),
    Route("GET", "/admin/v1/backup/sealed/{digest}", "entrepot:Backup", backup.get_sealed),
    Route("GET", "/admin/v1/backup/keys", "entrepot:Backup", backup.get_keys),
    Route("POST", "/admin/v1/backup/contents", "entrepot:Backup", backup.post_contents),
    Route("POST", "/admin/v1/backup/ending", "entrepot:Backup", backup.post_ending),
    Route("POST", "/admin/v1/backup/signature", "entrepot:Backup", backup.post_signature),
    Route("GET", "/admin/v1/backup/identity", "entrepot:BackupIdentity", backup.get_identity),
)


def admin_application(admin: Admin) -> Application:
    """Return what the control socket serves."""
    router = Router(ROUTES)
    account = admin.registry.name.account
    root = root_of(account)

    async def application(request: Request) -> Response:
        match router.match(request.method, request.path):
            case NotFound():
                return failed(404, "NotFound", f"no such path: {request.path}")
            case MethodNotAllowed(allowed):
                return failed(405, "MethodNotAllowed", f"allowed here: {', '.join(allowed)}")
            case found:
                request.params, request.route = found.params, found.route.pattern
                caller = Caller(root, account, request=request.id)
                return await answer(found.route, admin, caller, request)

    return application
