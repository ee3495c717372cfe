package git

import (
	"bytes"
	"errors"
)

// outputLimit is how many bytes of output are kept for a call that has no limit of its own.
const outputLimit = 64 << 20

// errOutputLimit says that there was more output than the call's limit. The output up to the limit is returned with it.
var errOutputLimit = errors.New("more output than the limit")

// limitedBuffer keeps the first bytes written to it and refuses the rest.
type limitedBuffer struct {
	buf      bytes.Buffer
	room     int64
	exceeded bool
}

func (h *limitedBuffer) Write(p []byte) (int, error) {
	if int64(len(p)) > h.room {
		h.buf.Write(p[:h.room])
		h.room, h.exceeded = 0, true
		return 0, errOutputLimit
	}
	h.room -= int64(len(p))
	return h.buf.Write(p)
}

// splitter passes on what is written to it, part by part: each ends with NUL.
type splitter struct {
	take    func([]byte) error
	pending []byte // of a part whose end was not written yet
	err     error
}

// maxPart is the most bytes of a part whose end was not written yet.
const maxPart = 1 << 20

func (s *splitter) Write(p []byte) (int, error) {
	written := len(p)
	for s.err == nil {
		part, rest, ended := bytes.Cut(p, []byte{0})
		if !ended {
			break
		}
		if len(s.pending) > 0 {
			part = append(s.pending, part...)
			s.pending = s.pending[:0]
		}
		s.err, p = s.take(part), rest
	}
	if s.pending = append(s.pending, p...); s.err == nil && len(s.pending) > maxPart {
		s.err = errOutputLimit
	}
	if s.err != nil {
		return 0, s.err
	}
	return written, nil
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	buf       []byte
	truncated bool // the beginning is gone
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	const most = 8 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*most {
		t.buf, t.truncated = append(t.buf[:0], t.buf[len(t.buf)-most:]...), true
	}
	return len(p), nil
}
