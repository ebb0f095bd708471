-- One database for each of the three stores: docs/postgres.md says why.
CREATE DATABASE convcg_ledger OWNER convcg;
CREATE DATABASE convcg_dagster OWNER convcg;
CREATE DATABASE convcg_mlflow OWNER convcg;
