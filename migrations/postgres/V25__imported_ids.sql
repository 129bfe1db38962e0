-- By what each imported event is known again, for good: an import of the same file counts nothing twice, however
-- late it comes. They are written in the transaction of the batch that has the events. `id` is a hash of the
-- event's id and type.
CREATE TABLE imported_ids (
    id uuid PRIMARY KEY
);
