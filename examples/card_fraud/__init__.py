"""Card fraud: a simulator, online features, a contract, a training script and a replay."""
