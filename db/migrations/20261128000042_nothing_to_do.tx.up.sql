-- The history narrowed to runs that found nothing to do.
CREATE INDEX executions_nothing_to_do ON executions (id DESC) WHERE result = 'nothing_to_do';
