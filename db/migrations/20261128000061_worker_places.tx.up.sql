ALTER TABLE workers ADD COLUMN places integer NOT NULL DEFAULT 0 CHECK (places >= 0); -- sessions that it runs at once; 0: it did not say
