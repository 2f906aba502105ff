-- Changes nothing: what matters is the row that the ledger writes of it, under the name of this step.
SELECT 'the migration of this file begins';
