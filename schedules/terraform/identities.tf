locals {
  # rendered from dr's own table of permissions (dr/plan/permissions.py), which dr check asks for and the lab grants
  table     = jsondecode(file("${path.module}/permissions.json"))
  spared    = toset(local.table.spared)
  protected = [for name in var.databases : "projects/${var.protected_project}/databases/${name}"]

  grants = merge([
    for identity, places in local.table.identities : {
      for where, names in places : "${identity}_${where}" => {
        identity    = identity
        where       = where
        permissions = setsubtract(toset(names), where == "database" ? local.spared : toset([]))
      }
    }
  ]...)
  changing = {
    for identity, places in local.table.identities : identity => setintersection(toset(try(places.database, [])), local.spared)
  }
  sparing = { for identity, names in local.changing : identity => names if length(names) > 0 }
  projects = {
    vault        = var.backup_project
    control      = var.backup_project
    key          = var.backup_project
    evidence     = var.backup_project
    velero       = var.protected_project
    database     = var.protected_project
    subscription = var.protected_project
    sink         = var.protected_project
  }
  vault_grants = merge([
    for name, grant in local.grants : {
      for component in local.components : "${name}_${component}" => { name = name, identity = grant.identity, component = component }
    } if grant.where == "vault"
  ]...)
  key_grants = merge([
    for name, grant in local.grants : {
      for location in keys(local.key_locations) : "${name}_${location}" => { name = name, identity = grant.identity, location = location }
    } if grant.where == "key"
  ]...)
}

resource "google_service_account" "dr" {
  for_each     = local.table.identities
  project      = var.backup_project
  account_id   = "dr-${each.key}"
  display_name = "dr: ${each.key}"
}

# A Pod with the Kubernetes service account dr-capture acts as dr-capture, and nobody else does. There are no keys.
resource "google_service_account_iam_member" "workload_identity" {
  for_each           = local.table.identities
  service_account_id = google_service_account.dr[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.protected_project}.svc.id.goog[${var.namespace}/dr-${each.key}]"
}

# Custom roles, because no predefined one writes objects and locks them without being able to delete them.
resource "google_project_iam_custom_role" "dr" {
  for_each    = local.grants
  project     = local.projects[each.value.where]
  role_id     = "dr_${each.key}"
  title       = "dr ${each.value.identity} on ${each.value.where}"
  permissions = each.value.permissions
}

resource "google_project_iam_custom_role" "spared" {
  for_each    = local.sparing
  project     = var.protected_project
  role_id     = "dr_${each.key}_restored_database"
  title       = "dr ${each.key} on databases that it made"
  permissions = each.value
}

resource "google_storage_bucket_iam_member" "vault" {
  for_each = local.vault_grants
  bucket   = google_storage_bucket.vault[each.value.component].name
  role     = google_project_iam_custom_role.dr[each.value.name].id
  member   = google_service_account.dr[each.value.identity].member
}

resource "google_storage_bucket_iam_member" "control" {
  for_each = { for name, grant in local.grants : name => grant if grant.where == "control" }
  bucket   = google_storage_bucket.control.name
  role     = google_project_iam_custom_role.dr[each.key].id
  member   = google_service_account.dr[each.value.identity].member
}

resource "google_storage_bucket_iam_member" "velero" {
  for_each = { for name, grant in local.grants : name => grant if grant.where == "velero" }
  bucket   = var.velero_bucket
  role     = google_project_iam_custom_role.dr[each.key].id
  member   = google_service_account.dr[each.value.identity].member
}

resource "google_project_iam_member" "database" {
  for_each = { for name, grant in local.grants : name => grant if grant.where == "database" }
  project  = var.protected_project
  role     = google_project_iam_custom_role.dr[each.key].id
  member   = google_service_account.dr[each.value.identity].member
}

# A sink has no policy of its own.
resource "google_project_iam_member" "sink" {
  for_each = { for name, grant in local.grants : name => grant if grant.where == "sink" }
  project  = var.protected_project
  role     = google_project_iam_custom_role.dr[each.key].id
  member   = google_service_account.dr[each.value.identity].member
}

# Changing and deleting databases: any but the protected ones.
resource "google_project_iam_member" "spared" {
  for_each = local.sparing
  project  = var.protected_project
  role     = google_project_iam_custom_role.spared[each.key].id
  member   = google_service_account.dr[each.key].member

  condition {
    title       = "spares-the-protected-databases"
    description = "A drill makes databases and takes them away; those that are protected it can only read and clone."
    expression  = join(" && ", [for name in local.protected : "resource.name != '${name}'"])
  }
}

resource "google_pubsub_subscription_iam_member" "audit" {
  for_each     = { for name, grant in local.grants : name => grant if grant.where == "subscription" }
  project      = var.protected_project
  subscription = google_pubsub_subscription.audit.name
  role         = google_project_iam_custom_role.dr[each.key].id
  member       = google_service_account.dr[each.value.identity].member
}

resource "google_kms_crypto_key_iam_member" "config" {
  for_each      = local.key_grants
  crypto_key_id = google_kms_crypto_key.config[each.value.location].id
  role          = google_project_iam_custom_role.dr[each.value.name].id
  member        = google_service_account.dr[each.value.identity].member
}

resource "google_kms_crypto_key_iam_member" "evidence" {
  for_each      = { for name, grant in local.grants : name => grant if grant.where == "evidence" }
  crypto_key_id = google_kms_crypto_key.evidence.id
  role          = google_project_iam_custom_role.dr[each.key].id
  member        = google_service_account.dr[each.value.identity].member
}

# Firestore writes its exports, and reads them for an import, as its own service agent.
resource "google_storage_bucket_iam_member" "firestore" {
  for_each = toset(["roles/storage.objectCreator", "roles/storage.objectViewer", "roles/storage.legacyBucketReader"])
  bucket   = google_storage_bucket.vault["appdata"].name
  role     = each.key
  member   = "serviceAccount:service-${data.google_project.protected.number}@gcp-sa-firestore.iam.gserviceaccount.com"
}
