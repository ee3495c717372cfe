package db

import (
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// NamePage is a page of a list in the order of names: at most Limit rows after a given name and id, or from the
// beginning. The zero NamePage is the first 500 rows.
type NamePage struct {
	AfterName string
	AfterID   uuid.UUID
	Limit     int
}

func (p NamePage) apply(sel *bun.SelectQuery, table string) *bun.SelectQuery {
	limit := p.Limit
	if limit == 0 {
		limit = 500
	}
	if p.AfterID != uuid.Nil {
		sel = sel.Where("(lower(?0.name), ?0.id) > (lower(?1), ?2)", bun.Ident(table), p.AfterName, p.AfterID)
	}
	return sel.OrderExpr("lower(?0.name), ?0.id", bun.Ident(table)).Limit(int64(limit))
}

// applyNamePage narrows a list in the order of names and ids to the rows after one row, or to the rows nearest before
// another, which come in the opposite order. alias is the query's alias of the table.
func applyNamePage(sel *bun.SelectQuery, alias, table string, after, before uuid.UUID) *bun.SelectQuery {
	if after != uuid.Nil {
		sel = sel.Where("(lower(?0.name), ?0.id) > (SELECT lower(name), id FROM ?1 WHERE id = ?2)",
			bun.Ident(alias), bun.Ident(table), after)
	}
	if before != uuid.Nil {
		return sel.Where("(lower(?0.name), ?0.id) < (SELECT lower(name), id FROM ?1 WHERE id = ?2)",
			bun.Ident(alias), bun.Ident(table), before).OrderExpr("lower(?0.name) DESC, ?0.id DESC", bun.Ident(alias))
	}
	return sel.OrderExpr("lower(?0.name), ?0.id", bun.Ident(alias))
}
