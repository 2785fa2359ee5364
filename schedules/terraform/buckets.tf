locals {
  components = toset(["cluster", "appdata", "config", "audit"])
}

# One vault for each component. Objects are locked one by one, for as long as the row of the table keeps them: a lock on the
# whole bucket would be too long for one row or too short for another.
resource "google_storage_bucket" "vault" {
  for_each                    = local.components
  project                     = var.backup_project
  name                        = "${var.prefix}-vault-${each.key}"
  location                    = var.vault_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  enable_object_retention     = true

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
  encryption {
    default_kms_key_name = google_kms_crypto_key.vaults.id
  }
  # what prune deleted, once it can no longer be wanted back
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 7
    }
    action {
      type = "Delete"
    }
  }
  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_kms_crypto_key_iam_member.storage]
}

# Run journal, drills, holds. Not locked as a whole; the evidence of drills is locked object by object.
resource "google_storage_bucket" "control" {
  project                     = var.backup_project
  name                        = "${var.prefix}-dr-control"
  location                    = var.vault_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  enable_object_retention     = true

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
  encryption {
    default_kms_key_name = google_kms_crypto_key.vaults.id
  }
  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_kms_crypto_key_iam_member.storage]
}
