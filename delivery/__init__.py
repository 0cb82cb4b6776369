"""What the workflows run and a person can run at a desk: bill of materials, audit, checks of workflows, differences."""
