"""What others look at: metrics, health, the status page. Told by the service, asked over HTTP; changes nothing."""
