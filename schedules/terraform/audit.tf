# Audit entries of the protected project, within moments, at least once. A sink to a bucket would write them every hour.
resource "google_pubsub_topic" "audit" {
  project                    = var.protected_project
  name                       = "energent-security-sink"
  message_retention_duration = "604800s"
}

resource "google_pubsub_subscription" "audit" {
  project                    = var.protected_project
  name                       = "energent-security-sink"
  topic                      = google_pubsub_topic.audit.id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"
  retain_acked_messages      = false

  # an idle subscription must not expire: silence is not the end of the audit
  expiration_policy {
    ttl = ""
  }
}

resource "google_logging_project_sink" "audit" {
  project                = var.protected_project
  name                   = "energent-security-sink"
  destination            = "pubsub.googleapis.com/${google_pubsub_topic.audit.id}"
  filter                 = "logName:\"cloudaudit.googleapis.com\""
  unique_writer_identity = true
}

resource "google_pubsub_topic_iam_member" "sink" {
  project = var.protected_project
  topic   = google_pubsub_topic.audit.name
  role    = "roles/pubsub.publisher"
  member  = google_logging_project_sink.audit.writer_identity
}

# Admin reads, data reads and data writes of all services: without this only admin writes are logged.
resource "google_project_iam_audit_config" "all" {
  project = var.protected_project
  service = "allServices"

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])
    content {
      log_type = audit_log_config.value
    }
  }
}
