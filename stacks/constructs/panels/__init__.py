"""What the dashboards show, a panel each: requests, arms, features, the stream, the monitoring, and cost."""
