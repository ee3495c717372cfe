package git

import (
	"bytes"
	"errors"
)

// outputLimit is how many bytes of output are kept of a call that names no limit of its own.
const outputLimit = 64 << 20

// errTooMuch says that there was more output than the call's limit; what fits is returned with it.
var errTooMuch = errors.New("more output than the limit")

// head keeps the first bytes written to it and refuses the rest.
type head struct {
	buf  bytes.Buffer
	left int64
	over bool
}

func (h *head) Write(p []byte) (int, error) {
	if int64(len(p)) > h.left {
		h.buf.Write(p[:h.left])
		h.left, h.over = 0, true
		return 0, errTooMuch
	}
	h.left -= int64(len(p))
	return h.buf.Write(p)
}

// splitter hands over what is written to it, part by part: each ends with NUL.
type splitter struct {
	take func([]byte) error
	rest []byte // of a part whose end was not written yet
	err  error
}

// longestPart is the most bytes of a part that a splitter waits for the end of.
const longestPart = 1 << 20

func (s *splitter) Write(p []byte) (int, error) {
	written := len(p)
	for s.err == nil {
		part, rest, ended := bytes.Cut(p, []byte{0})
		if !ended {
			break
		}
		if len(s.rest) > 0 {
			part = append(s.rest, part...)
			s.rest = s.rest[:0]
		}
		s.err, p = s.take(part), rest
	}
	if s.rest = append(s.rest, p...); s.err == nil && len(s.rest) > longestPart {
		s.err = errTooMuch
	}
	if s.err != nil {
		return 0, s.err
	}
	return written, nil
}

// tail keeps the last bytes written to it.
type tail struct {
	buf []byte
	cut bool // the beginning is gone
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*most {
		t.buf, t.cut = append(t.buf[:0], t.buf[len(t.buf)-most:]...), true
	}
	return len(p), nil
}
