variable "backup_project" {
  description = "Vaults, keys and identities of dr. Another project than the protected one, with other owners."
  type        = string
}

variable "protected_project" {
  description = "Where the cluster, the databases and the log sink live."
  type        = string
}

variable "region" {
  description = "Of what is protected."
  type        = string
  default     = "us-central1"
}

variable "vault_location" {
  description = "Of the vaults: another region than the protected one, or its loss is the loss of the backups."
  type        = string
  default     = "us-east1"
}

variable "prefix" {
  description = "Of bucket names, which are unique in the world."
  type        = string
  default     = "energent"
}

variable "databases" {
  description = "Firestore databases that are protected: restore may read and clone them, and never change them."
  type        = set(string)
  default     = ["energent-metadata-production"]
}

variable "velero_bucket" {
  description = "Bucket of Velero's BackupStorageLocation. Not locked: Velero rewrites its metadata."
  type        = string
  default     = "energent-velero"
}

variable "namespace" {
  description = "Where dr runs in the cluster."
  type        = string
  default     = "dr-system"
}
