-- A pull request that an agent only wrote of counts for nothing until its branch is known to be the session's.
UPDATE pull_requests p SET found_by = 'branch'
FROM sessions s WHERE s.id = p.session_id AND p.found_by = 'output' AND p.branch <> '' AND p.branch = s.branch;
