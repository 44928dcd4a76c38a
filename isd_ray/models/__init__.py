"""The ResMLP, its fit, its predictions and its files. The only folder that imports torch."""
