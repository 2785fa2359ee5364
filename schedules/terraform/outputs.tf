output "control" {
  description = "settings: control"
  value       = "gs://${google_storage_bucket.control.name}"
}

output "vaults" {
  description = "settings: vaults"
  value       = { for component, bucket in google_storage_bucket.vault : component => "gs://${bucket.name}" }
}

output "keys" {
  description = "settings: keys"
  value = merge(
    { for name, key in google_kms_crypto_key.config : name => "gcp-kms://${key.id}" },
    { evidence = "gcp-kms://${google_kms_crypto_key.evidence.id}/cryptoKeyVersions/1" }
  )
}

output "identities" {
  description = "annotations iam.gke.io/gcp-service-account of the service accounts"
  value       = { for name, account in google_service_account.dr : name => account.email }
}
