package present

import (
	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

// usageText says what was used; what is unknown is not zero.
func usageText(u db.Usage) (tokens, cost string) {
	if u.Turns == 0 {
		return "–", "–"
	}
	tokens, cost = "unknown", "unknown"
	if u.Counted > 0 || u.Tokens() > 0 {
		tokens = tokenText(u.Counted < u.Turns, u.TokensIn+u.TokensCached, u.TokensCached, u.TokensOut)
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		cost = AtLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
	}
	return tokens, cost
}

// AtLeast begins a sum of which a part is unknown.
func AtLeast(some bool) string {
	if some {
		return "at least "
	}
	return ""
}

// UsageFacts are the facts of what was used; none where nothing was.
func UsageFacts(u db.Usage) []views.Fact {
	if u.Turns == 0 {
		return nil
	}
	tokens, cost := usageText(u)
	return []views.Fact{{Label: "Tokens", Value: tokens}, {Label: "Cost", Value: cost}}
}

// Used is what a turn used, in words. Unknown is said, never shown as nothing.
func Used(u *transcript.Usage) string {
	if u == nil {
		return ""
	}
	told := u.Input+u.CacheRead+u.CacheWrite+u.Output > 0 || u.CostUSD > 0 // of which more may have been used
	if !u.Known && !u.CostKnown && !told {
		return "usage unknown"
	}
	text := ""
	if u.Known || told {
		text = tokenText(!u.Known, u.Input+u.CacheRead+u.CacheWrite, u.CacheRead, u.Output)
	}
	if u.CostKnown || u.CostUSD > 0 {
		if text != "" {
			text += ", "
		}
		text += views.Dollars(u.CostUSD)
	}
	return text
}

// tokenText counts tokens the one way that all pages do: all that went in, those of them that came from a cache, what
// came out.
func tokenText(some bool, all, cached, out int64) string {
	text := AtLeast(some) + views.Thousands(all) + " tokens in"
	if cached > 0 {
		text += " (" + views.Thousands(cached) + " cached)"
	}
	return text + ", " + views.Thousands(out) + " out"
}
