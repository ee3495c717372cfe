package db

import (
	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// ByName is a page of a list that goes by name: at most Limit rows after the one with the name and id given, or from
// the beginning. The zero ByName is the first 500.
type ByName struct {
	AfterName string
	AfterID   uuid.UUID
	Limit     int
}

func (p ByName) of(sel *bun.SelectQuery, table string) *bun.SelectQuery {
	limit := p.Limit
	if limit == 0 {
		limit = 500
	}
	if p.AfterID != uuid.Nil {
		sel = sel.Where("(lower(?0.name), ?0.id) > (lower(?1), ?2)", bun.Ident(table), p.AfterName, p.AfterID)
	}
	return sel.OrderExpr("lower(?0.name), ?0.id", bun.Ident(table)).Limit(int64(limit))
}

// byName narrows a list that goes by name and id, of a table and the alias that the query has for it, to what comes
// after one row, or to what is nearest before another: that comes in the opposite order.
func byName(sel *bun.SelectQuery, alias, table string, after, before uuid.UUID) *bun.SelectQuery {
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
