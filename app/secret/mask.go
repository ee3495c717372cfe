package secret

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"carillon/app/jsontext"
)

// shortest is how long a secret is at least that is looked for in other text: a shorter one is in ordinary text too.
const shortest = 6

// What looking for secrets may cost. Whoever calls an automation chooses them.
const (
	maxSecret      = 64 << 10 // bytes of a secret whose lines are looked for too; a longer one is looked for as a whole
	maxSecretLines = 200      // lines of the same

	maxEncodedLines = 20      // lines of a secret from which they are not looked for in base64, but the whole alone
	maxWrapped      = 8 << 10 // letters of base64 that are also looked for as programs break them into lines
	longForm        = 1 << 10 // bytes from which a form is looked for by itself
	maxForms        = 5000    // forms that are looked for in one pass
	maxLongForms    = 500
)

// Masker replaces secrets in text: as they are, line by line, and as JSON, addresses and base64 write them. It is a
// help against what slips out, and no wall: whoever has a secret can write it in other ways. A secret of more than 64
// KiB or 200 lines is looked for as a whole. Where there are more forms than can be looked for at a bounded cost, all
// of a text is replaced.
func Masker(secrets []string, by string) func([]byte) []byte {
	forms := formsOf(secrets)
	var long, short []string
	for _, form := range forms {
		if len(form) >= longForm {
			long = append(long, form)
		} else {
			short = append(short, form)
		}
	}
	switch {
	case len(forms) == 0:
		return func(text []byte) []byte { return text }
	case len(short) > maxForms || len(long) > maxLongForms:
		return func(text []byte) []byte {
			if len(text) < shortest {
				return text
			}
			return []byte(by)
		}
	}
	pairs := make([]string, 0, 2*len(short))
	for _, form := range short { // the longest first: of those that begin at one place the first counts
		pairs = append(pairs, form, by)
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text []byte) []byte {
		for _, form := range long {
			if len(form) > len(text) {
				continue
			}
			text = bytes.ReplaceAll(text, []byte(form), []byte(by))
		}
		if len(pairs) == 0 {
			return text
		}
		return []byte(replacer.Replace(string(text)))
	}
}

// formsOf lists how secrets may stand in a text, each form once and the longest first: else what is left of a longer
// one could tell it. Of more than can be looked for it lists some that are too many.
func formsOf(secrets []string) []string {
	known := map[string]bool{}
	add := func(forms ...string) {
		for _, form := range forms {
			if len(form) >= shortest {
				known[form] = true
			}
		}
	}
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		parts := []string{s}
		if len(s) <= maxSecret && strings.Count(s, "\n") < maxSecretLines {
			parts = append(parts, strings.Split(s, "\n")...)
		}
		if len(s) <= maxSecret {
			add(inBase64(s)...)
			if len(parts) <= maxEncodedLines {
				for _, line := range parts[1:] {
					add(inBase64(strings.TrimSpace(line))...)
				}
			}
		}
		for _, part := range parts {
			add(part)
			part = strings.TrimSpace(part)
			add(part)
			add(inAddresses(part)...)
			for _, html := range []bool{true, false} {
				within := quoted(part, html)
				add(within, quoted(within, html)) // JSON as a text in JSON
			}
		}
		add(quoted(s, true), quoted(s, false))
		if len(known) > maxForms+maxLongForms {
			break
		}
	}
	return slices.SortedFunc(maps.Keys(known), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}

// inBase64 lists how base64 writes a text, by the usual letters and by those of addresses: alone or within another
// text, so at each of the three places of a group of bytes at which it may begin, and as programs break it into lines.
// What stands beside the text decides the first and the last letters of it, which are left out.
func inBase64(text string) []string {
	if len(text) < shortest {
		return nil
	}
	var forms []string
	for before := range 3 {
		whole := append(make([]byte, before, before+len(text)), text...)
		first, end := (before*8+5)/6, len(whole)*8/6 // the letters that hold bits of the text alone
		for _, letters := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			form := letters.EncodeToString(whole)[first:end]
			forms = append(forms, form)
			if before > 0 || len(form) > maxWrapped {
				continue
			}
			for _, columns := range []int{64, 76} {
				if len(form) > columns {
					for line := range slices.Chunk([]byte(form), columns) {
						forms = append(forms, string(line))
					}
				}
			}
		}
	}
	return forms
}

// inAddresses lists how addresses write a text: as a value of a query, as a part of a path, as scripts of browsers do,
// and with escapes of small letters.
func inAddresses(text string) []string {
	query := url.QueryEscape(text)
	script := componentSigns.Replace(query)
	return []string{query, url.PathEscape(text), script, smallEscapes(query), smallEscapes(script)}
}

// componentSigns makes of a value of a query what encodeURIComponent writes.
var componentSigns = strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// smallEscapes is a text of an address with the letters of its escapes small.
func smallEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// MaskValue replaces secrets in the value of a parameter, which may be a JSON object or array.
func MaskValue(hide func([]byte) []byte, value string) string {
	if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
		if masked, ok := MaskJSON(hide, []byte(value)); ok {
			return string(masked)
		}
	}
	return string(hide([]byte(value)))
}

// MaskJSON replaces secrets in the values of a JSON text by a Masker: in strings and names, decoded, and in numbers,
// which become strings then. The rest stays as it is written. ok is false for what is not JSON.
func MaskJSON(hide func([]byte) []byte, raw []byte) (masked []byte, ok bool) {
	return jsontext.Rewrite(raw, func(s string) string {
		return string(hide([]byte(s)))
	}, func(number string) (string, bool) {
		for _, form := range []string{number, plainNumber(number)} {
			if hidden := string(hide([]byte(form))); hidden != form {
				return hidden, true
			}
		}
		return "", false
	})
}

// plainNumber is a number without an exponent and without zeros behind the point that say nothing, as far as it is
// exact.
func plainNumber(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		return number
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.Abs(value) >= 1<<53 {
		return number
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// quoted is a text as JSON writes it, without the quotation marks.
func quoted(text string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(text) // a string always encodes
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}
