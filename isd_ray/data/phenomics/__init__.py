"""Maps of pheno-similarity (paper, Section 4.3): from wells with embeddings to a panel of genes for each compound."""
