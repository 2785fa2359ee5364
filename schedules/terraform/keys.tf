locals {
  # either key opens what was sealed: with one region lost, the other is enough
  key_locations = { primary = var.region, secondary = var.vault_location }
}

resource "google_kms_key_ring" "dr" {
  for_each   = local.key_locations
  project    = var.backup_project
  name       = "dr"
  location   = each.value
  depends_on = [google_project_service.backup]
}

# Wraps the data keys of sealed Secrets (settings: keys.primary, keys.secondary)
resource "google_kms_crypto_key" "config" {
  for_each        = local.key_locations
  name            = "config"
  key_ring        = google_kms_key_ring.dr[each.key].id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = "HSM"
  }
  lifecycle {
    prevent_destroy = true
  }
}

# Signs reports of drills (settings: keys.evidence, with a version). Its versions are never destroyed: old reports are verified
# with their public keys, which stand there as long as they do
resource "google_kms_crypto_key" "evidence" {
  name     = "evidence"
  key_ring = google_kms_key_ring.dr["secondary"].id
  purpose  = "ASYMMETRIC_SIGN"

  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = "HSM"
  }
  lifecycle {
    prevent_destroy = true
  }
}

# Encrypts the buckets at rest; it must be where they are
resource "google_kms_crypto_key" "vaults" {
  name            = "vaults"
  key_ring        = google_kms_key_ring.dr["secondary"].id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"

  lifecycle {
    prevent_destroy = true
  }
}

data "google_storage_project_service_account" "backup" {
  project = var.backup_project
}

resource "google_kms_crypto_key_iam_member" "storage" {
  crypto_key_id = google_kms_crypto_key.vaults.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_storage_project_service_account.backup.email_address}"
}
