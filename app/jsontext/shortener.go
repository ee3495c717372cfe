package jsontext

import "bytes"

// Shortener takes a JSON text piece by piece and keeps it with its long strings cut, so that a text of any length is
// read in little memory. Of a string that is cut the beginning and the end stay, with a mark between them.
type Shortener struct {
	Most int // bytes that are kept of each string, about
	All  int // bytes that are kept in all; of more nothing is

	out      []byte
	within   bool   // a string
	unit     []byte // an escape that is not complete
	kept     int    // bytes of the string's beginning
	end      []byte // what came after its beginning, in whole units; cut to the last of it
	cut      bool
	overflow bool
}

// Write takes the next piece. It never fails.
func (s *Shortener) Write(piece []byte) (int, error) {
	for _, c := range piece {
		if s.overflow {
			break
		}
		s.take(c)
	}
	return len(piece), nil
}

// Bytes is the text so far. ok is false where even with its strings cut it is longer than All.
func (s *Shortener) Bytes() (text []byte, ok bool) { return s.out, !s.overflow }

func (s *Shortener) take(c byte) {
	switch {
	case !s.within:
		s.add(c)
		if c == '"' {
			s.within = true
			s.kept = 0
			s.cut = false
			s.end = s.end[:0]
		}
	case len(s.unit) > 0:
		if s.unit = append(s.unit, c); len(s.unit) == 6 || s.unit[1] != 'u' {
			s.content(s.unit)
			s.unit = s.unit[:0]
		}
	case c == '\\':
		s.unit = append(s.unit, c)
	case c == '"':
		if s.cut {
			s.trim()
			s.add([]byte(`\n… cut: this was too long to keep whole …\n`)...)
		}
		s.add(s.end...)
		s.add(c)
		s.within = false
	default:
		s.content([]byte{c})
	}
}

// content takes a unit of a string: a byte, or an escape.
func (s *Shortener) content(unit []byte) {
	if len(s.end) == 0 && s.kept+len(unit) <= s.Most/2 {
		s.kept += len(unit)
		s.add(unit...)
		return
	}
	if s.end = append(s.end, unit...); len(s.end) > s.Most {
		s.trim()
	}
}

// trim cuts the end of a string to half of what is kept, between units.
func (s *Shortener) trim() {
	at := 0
	for at < len(s.end)-s.Most/2 {
		switch {
		case s.end[at] != '\\':
			at++
		case s.end[at+1] == 'u':
			at += 6
		default:
			at += 2
		}
	}
	if at > 0 {
		s.cut = true
		s.end = append(s.end[:0], bytes.Clone(s.end[at:])...)
	}
}

func (s *Shortener) add(text ...byte) {
	if len(s.out)+len(text) > s.All {
		s.out, s.overflow = nil, true
		return
	}
	s.out = append(s.out, text...)
}
