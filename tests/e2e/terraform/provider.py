"""Build Terraform's provider for AWS, of its own source and with no more than what ECR needs.

The whole provider has 250 services and takes hours and 20 GB to build. What is left out here is what other services
are made of: the list of services and the constructors of their clients lose lines, and nothing of what the resources
of ECR and ECR Public do is touched. The source is a module of the Go proxy, held to the sum in the Go checksum data
base.

Usage: ``python -m tests.e2e.terraform.provider FOLDER``: the program is ``FOLDER/terraform-provider-aws``. It takes
four minutes on two cores, and 3 GB in Go's own folders.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MODULE = "github.com/hashicorp/terraform-provider-aws@v1.60.1-0.20260602190131-5f2286d6d836"  # Release 6.47.1.
PROGRAM = "terraform-provider-aws"
SERVICES = ("ecr", "ecrpublic", "meta", "sts")
CLIENTS = (*SERVICES, "ec2", "iam", "organizations", "resourcegroupstaggingapi", "s3", "ssoadmin", "account")

_LISTED = re.compile(r'^\t+(?:"[^"]+/internal/service/(\w+)"|(\w+)\.ServicePackage\(ctx\),)\n', re.MULTILINE)
_IMPORT = re.compile(r'^\t(?:\w+ )?"github\.com/aws/aws-sdk-go-v2/service/(\w+)(?:/\w+)?"\n', re.MULTILINE)
_CLIENT = re.compile(
    r"^func \(c \*AWSClient\) \w+\(ctx context\.Context\) \*(\w+)\.Client \{\n.*?^\}\n\n?", re.MULTILINE | re.DOTALL
)


def build(folder: Path) -> Path:
    """Build the provider in *folder* where it is not there yet, and return the program."""
    program = folder / PROGRAM
    if program.exists():
        return program
    told = subprocess.run(["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, cwd=folder)
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(
        json.loads(told.stdout)["Dir"], source, ignore=shutil.ignore_patterns("website", "docs", "*_test.go")
    )
    subprocess.run(["chmod", "-R", "u+w", source], check=True)
    _trim(source / "internal/provider/sdkv2/service_packages_gen.go", _LISTED, SERVICES)
    clients = source / "internal/conns/awsclient_gen.go"
    _trim(clients, _CLIENT, CLIENTS)
    _trim(clients, _IMPORT, CLIENTS)
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
    subprocess.run(command, check=True, cwd=source, env=os.environ | {"CGO_ENABLED": "0"})
    shutil.rmtree(source)
    return program


def _trim(file: Path, lines: re.Pattern[str], kept: tuple[str, ...]) -> None:
    def keep(found: re.Match[str]) -> str:
        name = next(one for one in found.groups() if one)
        return found[0] if name in kept else ""

    file.write_text(lines.sub(keep, file.read_text()))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(build(target.resolve()))
