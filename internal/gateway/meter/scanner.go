package meter

import "bytes"

const (
	// maxObject is the length of the longest usage that is read. Those of today have some hundred bytes.
	maxObject = 16 << 10
	// maxLevel is how deep names are looked at: an array, an object in it, and one more.
	maxLevel = 3
	// maxName is longer than every name that is looked for.
	maxName = 24
)

// path is where usage stands in a JSON text: at the top, and within one other object. A text that is an array is looked at one level deeper.
type path struct{ leaf, parent string }

var paths = map[Format]path{
	AnthropicMessages: {leaf: "usage", parent: "message"},
	OpenAI:            {leaf: "usage", parent: "response"},
	Gemini:            {leaf: "usageMetadata", parent: "response"},
}

// scanner finds usage in JSON texts that come in pieces. It does not check them: what is no JSON says nothing, and is forgotten at the next reset.
//
// It knows how deep it is, and on the first levels also in what kind of container and behind which name; at rest, between two texts, depth is
// zero. Strings are jumped over, so that nothing in the text of an answer is taken for usage.
type scanner struct {
	path  path
	leaf  []byte // path.leaf
	found func(object []byte)
	lost  func()

	depth  int
	levels [maxLevel]level

	inString, escaped bool
	inName, longName  bool
	name              []byte

	object   []byte // what has been captured so far
	capture  int    // the depth within the object that is being captured, or zero
	overlong bool
}

// level is a container that is open.
type level struct {
	object, wantsName bool
	leaf, parent      bool // the value at hand stands behind that name
}

// reset forgets the text at hand.
func (s *scanner) reset() {
	s.depth, s.capture = 0, 0
	s.inString, s.escaped, s.inName, s.overlong = false, false, false, false
	s.name, s.object = s.name[:0], s.object[:0]
}

// atRest is true between two texts.
func (s *scanner) atRest() bool { return s.depth == 0 && !s.inString }

// feed reads the next piece.
func (s *scanner) feed(p []byte) {
	for len(p) > 0 {
		var n int
		if s.inString {
			n = s.str(p)
		} else if n = plain(p); n == 0 {
			s.open(p[0])
			n = 1
			s.keep(p[:n])
			s.close(p[0])
			p = p[n:]
			continue
		}
		s.keep(p[:n])
		p = p[n:]
	}
}

// plain is how many bytes at the beginning of a piece mean nothing here: numbers, blanks, colons.
func plain(p []byte) int {
	for i, c := range p {
		switch c {
		case '{', '}', '[', ']', '"', ',':
			return i
		}
	}
	return len(p)
}

// open notes what begins with a byte; what is kept then includes it.
func (s *scanner) open(c byte) {
	switch c {
	case '"':
		top := s.top()
		s.inString, s.inName, s.longName = true, top != nil && top.wantsName, false
		s.name = s.name[:0]
	case '{', '[':
		usage := c == '{' && s.capture == 0 && s.isUsage()
		s.depth++
		if top := s.top(); top != nil {
			*top = level{object: c == '{', wantsName: c == '{'}
		}
		if usage {
			s.capture, s.overlong = s.depth, false
		}
	case ',':
		if top := s.top(); top != nil {
			*top = level{object: top.object, wantsName: top.object}
		}
	}
}

// close notes what ends with a byte that has been kept.
func (s *scanner) close(c byte) {
	if c != '}' && c != ']' || s.depth == 0 {
		return
	}
	if s.capture == s.depth {
		s.deliver()
	}
	s.depth--
}

// top is the innermost container, if it is one of those whose names matter.
func (s *scanner) top() *level {
	if s.depth < 1 || s.depth > maxLevel {
		return nil
	}
	return &s.levels[s.depth-1]
}

// isUsage is true when a value that begins now stands where usage does.
func (s *scanner) isUsage() bool {
	top := s.top()
	if top == nil || !top.leaf {
		return false
	}
	base := 0
	if !s.levels[0].object {
		base = 1
	}
	return s.depth == base+1 || s.depth == base+2 && s.levels[base].parent
}

// str reads on in a string, and returns how many bytes it took.
func (s *scanner) str(p []byte) int {
	i := 0
	if s.escaped {
		s.escaped, i = false, 1
	}
	quote := bytes.IndexByte(p[i:], '"') + i
	if quote < i {
		quote = len(p)
	}
	for {
		slash := bytes.IndexByte(p[i:quote], '\\')
		if slash < 0 {
			break
		}
		s.longName = true // no name that is looked for needs an escape
		i += slash + 2
		if i > len(p) {
			s.escaped = true
			return len(p)
		}
		if i > quote {
			quote = bytes.IndexByte(p[i:], '"') + i
			if quote < i {
				quote = len(p)
			}
		}
	}
	s.read(p[:quote])
	if quote == len(p) {
		return quote
	}
	s.inString = false
	s.named()
	return quote + 1
}

// read collects a name.
func (s *scanner) read(p []byte) {
	if !s.inName || s.longName {
		return
	}
	if len(s.name)+len(p) > maxName {
		s.longName = true
		return
	}
	s.name = append(s.name, p...)
}

// named ends a name.
func (s *scanner) named() {
	if !s.inName {
		return
	}
	s.inName = false
	top := s.top()
	top.wantsName = false
	top.leaf = !s.longName && string(s.name) == s.path.leaf
	top.parent = !s.longName && string(s.name) == s.path.parent
}

// keep adds bytes to the object that is being captured, as long as it is not too long.
func (s *scanner) keep(p []byte) {
	if s.capture == 0 || s.overlong {
		return
	}
	if len(s.object)+len(p) > maxObject {
		s.overlong = true
		return
	}
	s.object = append(s.object, p...)
}

// deliver ends an object.
func (s *scanner) deliver() {
	if s.overlong {
		s.lost()
	} else {
		s.found(s.object)
	}
	s.capture, s.object = 0, s.object[:0]
}
