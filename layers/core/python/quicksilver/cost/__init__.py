"""What a stage costs: its synthesized templates and a workload, priced by a dated table. Money is decimal, never a float."""
