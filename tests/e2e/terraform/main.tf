# Every resource and data source that the provider has for ECR and ECR Public. "changed" is what an operator edits later.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }

variable "changed" {
  type    = bool
  default = false
}

variable "pushed" {
  type    = bool
  default = false
}

provider "aws" {
  endpoints {
    ecr       = var.endpoint
    ecrpublic = var.endpoint
    sts       = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

locals {
  account = data.aws_caller_identity.me.account_id
}

resource "aws_ecr_repository" "plain" {
  name = "tf/plain"
}

resource "aws_ecr_repository" "encrypted" {
  name = "tf/encrypted"
  encryption_configuration {
    encryption_type = "KMS"
  }
}

resource "aws_ecr_repository" "full" {
  name                 = "tf/full"
  image_tag_mutability = var.changed ? "MUTABLE_WITH_EXCLUSION" : "IMMUTABLE_WITH_EXCLUSION"
  force_delete         = true
  image_tag_mutability_exclusion_filter {
    filter      = "latest"
    filter_type = "WILDCARD"
  }
  image_tag_mutability_exclusion_filter {
    filter      = var.changed ? "dev-*" : "main-*"
    filter_type = "WILDCARD"
  }
  image_scanning_configuration {
    scan_on_push = !var.changed
  }
  tags = var.changed ? { team = "c" } : { team = "a b", cost = "7" }
}

resource "aws_ecr_repository_policy" "full" {
  repository = aws_ecr_repository.full.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "pull it"
      Effect    = "Allow"
      Principal = "*"
      Action    = concat(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], var.changed ? ["ecr:PutImage"] : [])
    }]
  })
}

data "aws_ecr_lifecycle_policy_document" "old" {
  rule {
    priority    = 1
    description = "what nobody names any more"
    selection {
      tag_status   = "untagged"
      count_type   = "sinceImagePushed"
      count_unit   = "days"
      count_number = var.changed ? 7 : 14
    }
  }
  rule {
    priority = 2
    selection {
      tag_status       = "tagged"
      tag_pattern_list = ["prod*", "a*"]
      count_type       = "imageCountMoreThan"
      count_number     = 100
    }
  }
}

resource "aws_ecr_lifecycle_policy" "full" {
  repository = aws_ecr_repository.full.name
  policy     = data.aws_ecr_lifecycle_policy_document.old.json
}

resource "aws_ecr_registry_policy" "this" {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "replicas"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::999999999999:root" }
      Action    = concat(["ecr:ReplicateImage"], var.changed ? ["ecr:CreateRepository"] : [])
      Resource  = ["arn:aws:ecr:eu-central-1:${local.account}:repository/*"]
    }]
  })
}

resource "aws_ecr_replication_configuration" "this" {
  replication_configuration {
    rule {
      destination {
        region      = var.changed ? "us-west-1" : "us-west-2"
        registry_id = local.account
      }
      repository_filter {
        filter      = "prod"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

resource "aws_ecr_pull_through_cache_rule" "quay" {
  ecr_repository_prefix = "quay"
  upstream_registry_url = "quay.io"
}

resource "aws_ecr_pull_through_cache_rule" "hub" {
  ecr_repository_prefix      = "hub"
  upstream_registry_url      = "registry-1.docker.io"
  upstream_repository_prefix = "library"
  credential_arn             = "arn:aws:secretsmanager:eu-central-1:${local.account}:secret:ecr-pullthroughcache/${var.changed ? "b" : "a"}"
}

resource "aws_ecr_repository_creation_template" "team" {
  prefix               = "team"
  description          = var.changed ? "for all teams" : "for teams"
  image_tag_mutability = "IMMUTABLE"
  applied_for          = var.changed ? ["REPLICATION"] : ["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"]
  custom_role_arn      = "arn:aws:iam::${local.account}:role/creator"
  lifecycle_policy     = data.aws_ecr_lifecycle_policy_document.old.json
  repository_policy    = aws_ecr_repository_policy.full.policy
  resource_tags        = var.changed ? { a = "c", d = "e" } : { a = "b" }
  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_registry_scanning_configuration" "this" {
  scan_type = var.changed ? "BASIC" : "ENHANCED"
  rule {
    scan_frequency = "SCAN_ON_PUSH"
    repository_filter {
      filter      = "*"
      filter_type = "WILDCARD"
    }
  }
  dynamic "rule" {
    for_each = var.changed ? [] : ["example"]
    content {
      scan_frequency = "CONTINUOUS_SCAN"
      repository_filter {
        filter      = rule.value
        filter_type = "WILDCARD"
      }
    }
  }
}

resource "aws_ecr_account_setting" "mounting" {
  name  = "BLOB_MOUNTING"
  value = var.changed ? "DISABLED" : "ENABLED"
}

resource "aws_ecr_pull_time_update_exclusion" "scanner" {
  principal_arn = "arn:aws:iam::${local.account}:role/${var.changed ? "other" : "scanner"}"
}

resource "aws_ecrpublic_repository" "gallery" {
  repository_name = "tf/gallery"
  force_destroy   = true
  catalog_data {
    about_text        = var.changed ? "# More about it" : "# About it"
    architectures     = ["ARM", "x86-64", "Linux"]
    description       = "An app"
    operating_systems = ["Linux"]
    usage_text        = "Pull it."
    logo_image_blob   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
  }
  tags = { env = var.changed ? "test" : "production" }
}

resource "aws_ecrpublic_repository" "plain" {
  repository_name = "tf/plain"
}

resource "aws_ecrpublic_repository_policy" "gallery" {
  repository_name = aws_ecrpublic_repository.gallery.repository_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = local.account }
      Action    = concat(["ecr-public:PutImage"], var.changed ? ["ecr-public:UploadLayerPart"] : [])
    }]
  })
}

data "aws_ecr_repository" "full" { name = aws_ecr_repository.full.name }
data "aws_ecr_repositories" "all" { depends_on = [aws_ecr_repository.full] }
data "aws_ecr_authorization_token" "this" {}
data "aws_ecrpublic_authorization_token" "this" {}

data "aws_ecr_pull_through_cache_rule" "quay" {
  ecr_repository_prefix = aws_ecr_pull_through_cache_rule.quay.ecr_repository_prefix
}

data "aws_ecr_repository_creation_template" "team" {
  prefix = aws_ecr_repository_creation_template.team.prefix
}

data "aws_ecr_image" "newest" {
  count           = var.pushed ? 1 : 0
  repository_name = aws_ecr_repository.full.name
  most_recent     = true
}

data "aws_ecr_images" "all" {
  count           = var.pushed ? 1 : 0
  repository_name = aws_ecr_repository.full.name
}

data "aws_ecrpublic_images" "all" {
  count           = var.pushed ? 1 : 0
  repository_name = aws_ecrpublic_repository.gallery.repository_name
}

output "account" { value = local.account }
output "repository" { value = aws_ecr_repository.full.repository_url }
output "public" { value = aws_ecrpublic_repository.gallery.repository_uri }
output "repositories" { value = sort(data.aws_ecr_repositories.all.names) }
output "user" { value = data.aws_ecr_authorization_token.this.user_name }

output "digests" {
  value = flatten([
    data.aws_ecr_image.newest[*].image_digest,
    [for one in data.aws_ecr_images.all : one.image_ids[*].image_digest],
    [for one in data.aws_ecrpublic_images.all : one.images[*].image_digest],
  ])
}
