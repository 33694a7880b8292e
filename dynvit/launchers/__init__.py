"""Where the cells of a bench run: processes here, jobs of Slurm, workers of dask; one small interface for all."""
