"""Reports on shadows, rollouts and experiments: numbers from the archive, the rollup and the registry, and their pages."""
