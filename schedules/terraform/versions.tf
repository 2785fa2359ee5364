# What dr needs of Google Cloud, as an example to start from. Identities, buckets and keys live in a project of their own: who
# loses the protected project, by accident or by an attacker, still has the backups and may read them.
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.10, < 8"
    }
  }
}

provider "google" {
  project = var.backup_project
  region  = var.vault_location
}

data "google_project" "backup" {
  project_id = var.backup_project
}

data "google_project" "protected" {
  project_id = var.protected_project
}

# dr check asks Resource Manager which permissions it holds on a project
resource "google_project_service" "backup" {
  for_each = toset([
    "cloudkms.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "storage.googleapis.com",
  ])
  project            = var.backup_project
  service            = each.key
  disable_on_destroy = false
}
