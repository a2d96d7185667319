package echo

import (
	"errors"
	"io"
)

// ErrKeyEchoed is what reading an answer ends with where the key would have come.
var ErrKeyEchoed = errors.New("the answer contains the key that it was asked with")

// Reader passes an answer on as it comes, up to where it contains the key; onEcho is then called, once, and reading ends with ErrKeyEchoed. It
// keeps back only bytes that may be the beginning of a form of the key, fewer than the longest form has, until it is known what they are; a line's end is
// never among them, so no event of a stream waits for the next one.
func (d *Detector) Reader(body io.ReadCloser, onEcho func()) io.ReadCloser {
	if d.Blind() {
		return body
	}
	return &reader{body: body, detector: d, onEcho: onEcho}
}

// maxMore is how much is read at once to what was kept back: little, since thousands of streams may do so at a time.
const maxMore = 4096

// reader passes bytes on from the caller's buffer where it can, and otherwise from its own: buf[out:clean] is to be handed out, buf[clean:] is kept back.
type reader struct {
	body     io.ReadCloser
	detector *Detector
	onEcho   func()

	buf        []byte
	out, clean int
	err        error // what the answer ended with, once everything before it has been handed out
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.out < r.clean {
			n := copy(p, r.buf[r.out:r.clean])
			r.out += n
			return n, nil
		}
		r.buf = append(r.buf[:0], r.buf[r.clean:]...)
		r.out, r.clean = 0, 0
		if r.err != nil {
			return 0, r.err
		}
		if len(r.buf) == 0 {
			if n := r.readInto(p); n > 0 {
				return n, nil
			}
			continue
		}
		r.readMore(min(len(p), maxMore))
	}
}

// readInto reads into the caller's buffer, and returns how much of it can stay there; what must be kept back is moved to our own.
func (r *reader) readInto(p []byte) int {
	n, err := r.body.Read(p)
	r.err = err
	at := r.look(p[:n])
	if r.err == nil && at < n {
		r.buf = append(r.buf, p[at:n]...)
	}
	clear(p[at:n])
	return at
}

// readMore reads up to size bytes to what was kept back.
func (r *reader) readMore(size int) {
	kept := len(r.buf)
	r.buf = append(r.buf, make([]byte, size)...)
	n, err := r.body.Read(r.buf[kept:])
	r.buf = r.buf[:kept+n]
	r.err = err
	r.clean = r.look(r.buf)
	if r.err != nil {
		clear(r.buf[r.clean:])
		r.buf = r.buf[:r.clean]
	}
}

// look returns how many bytes of a text may pass. At the end of the answer, a mere beginning of the key may: nothing follows that could complete it.
func (r *reader) look(text []byte) int {
	at, m := r.detector.find(text)
	switch {
	case m == whole:
		r.err = ErrKeyEchoed
		if r.onEcho != nil {
			r.onEcho()
		}
		return at
	case r.err != nil:
		return len(text)
	default:
		return at
	}
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }
