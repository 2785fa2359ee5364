"""The lab's Cloud KMS: google.cloud.kms.v1.KeyManagementService over TLS, with regions that can be taken away."""
