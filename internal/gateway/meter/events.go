package meter

import "bytes"

// field introduces a line of an event's data.
const field = "data:"

// events takes the data out of a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), and starts a new
// text with each event, so that a broken one spoils no other.
type events struct {
	scan *scanner

	matched int  // how much of field the line at hand has begun with
	other   bool // the line is none of data
	some    bool // the line is not empty
	afterCR bool // a line feed that comes next belongs to the carriage return before it
}

// feed reads the next piece.
func (e *events) feed(p []byte) {
	for len(p) > 0 {
		lines, rest, ended := bytes.Cut(p, []byte{'\n'})
		last := ended && len(rest) > 0 && (rest[0] == '\n' || rest[0] == '\r')
		for {
			text, more, cr := bytes.Cut(lines, []byte{'\r'})
			e.line(text, last && len(more) == 0)
			if !cr {
				break
			}
			e.endLine()
			e.afterCR, lines = true, more
		}
		if ended && !e.afterCR {
			e.endLine()
		}
		e.afterCR = e.afterCR && !ended
		p = rest
	}
}

// line reads on in a line; last means that it ends with this text, and that the event ends with it.
func (e *events) line(text []byte, last bool) {
	if len(text) == 0 {
		return
	}
	e.some, e.afterCR = true, false
	for len(text) > 0 && !e.other && e.matched < len(field) {
		if text[0] != field[e.matched] {
			e.other = true
			return
		}
		e.matched++
		text = text[1:]
	}
	// Nearly all of a stream are events that do not speak of usage. They are not worth more than a glance.
	idle := last && e.scan.atRest() && !bytes.Contains(text, e.scan.leaf)
	if !e.other && !idle {
		e.scan.feed(text)
	}
}

// endLine ends a line, and with an empty one the event.
func (e *events) endLine() {
	if !e.some {
		e.scan.reset()
	}
	e.matched, e.other, e.some = 0, false, false
}
