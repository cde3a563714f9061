-- Only forward, and only by whom the attempt belongs to ($5).
WITH recorded AS (
  UPDATE attempt SET state = $3,
    sent_at = CASE WHEN $3 = 1 THEN $4 ELSE sent_at END,
    ringing_at = CASE WHEN $3 = 2 THEN $4 ELSE ringing_at END,
    answered_at = CASE WHEN $3 = 3 THEN $4 ELSE answered_at END
  WHERE seq = $1 AND created_at / 1000 = $2 AND state < $3 AND state < 4
    AND coalesce(rescuer, owner) = $5
  RETURNING seq
), kept AS (
  INSERT INTO attempt_dialog (attempt, dialog)
  SELECT seq, $6 FROM recorded WHERE $6 IS NOT NULL
  ON CONFLICT (attempt) DO UPDATE SET dialog = excluded.dialog
)
SELECT 1 FROM recorded
