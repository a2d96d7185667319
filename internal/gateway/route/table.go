package route

import (
	"net/http"
	"slices"
	"strings"
)

// Pattern is one kind of request that is let through.
type Pattern struct {
	// Method is the method of HTTP. TRACE and CONNECT never match.
	Method string
	// Path is a normalised path in which each part may have one "*". It stands for one or more characters of that part, but never for ":",
	// which begins a verb in the paths of Google's services: "/v1beta/models/*" must not open "/v1beta/models/x:batchGenerateContent", and
	// "/v1beta/models/*:generateContent" opens that one verb.
	Path string
}

// Outcome is what a Table says of a request.
type Outcome int

// The outcomes.
const (
	// NotFound means that no pattern has this path.
	NotFound Outcome = iota
	// MethodNotAllowed means that patterns have this path, but none with this method.
	MethodNotAllowed
	// Found means that the request is one of those listed.
	Found
)

// Verdict is what a Table says of a request, and why.
type Verdict struct {
	// Outcome says whether the request may pass.
	Outcome Outcome
	// Pattern is the first that matched; set with Found. Unlike paths, patterns are few, and fit for the labels of metrics.
	Pattern Pattern
	// Allow are the methods that the path has, sorted; set with MethodNotAllowed, for the header of that name (RFC 9110, section 15.5.6).
	Allow []string
}

// Table is a list of patterns. The zero value matches nothing. It is safe for concurrent use.
type Table struct {
	rows []row
}

// row is a pattern, ready to be compared.
type row struct {
	Pattern
	parts []part
}

// part is one part of a template: a literal, or what stands before and after a star.
type part struct {
	head, tail string
	star       bool
}

// New is the Table of some patterns. Those that could match nothing, or what they must not, are left out: other paths than Normalise makes,
// parts with two stars, TRACE and CONNECT.
func New(patterns []Pattern) Table {
	var t Table
	for _, p := range patterns {
		if parts, ok := parse(p); ok {
			t.rows = append(t.rows, row{Pattern: p, parts: parts})
		}
	}
	return t
}

func parse(p Pattern) ([]part, bool) {
	if p.Method == "" || p.Method == http.MethodTrace || p.Method == http.MethodConnect {
		return nil, false
	}
	if normal, err := Normalise(p.Path); err != nil || normal != p.Path {
		return nil, false
	}
	var parts []part
	for text := range strings.SplitSeq(p.Path[1:], "/") {
		head, tail, star := strings.Cut(text, "*")
		if strings.Contains(tail, "*") {
			return nil, false
		}
		parts = append(parts, part{head: head, tail: tail, star: star})
	}
	return parts, true
}

// Match looks up a request. The path is one that Normalise made; others may be not found, but never let anything else through. Methods and
// paths are compared with regard to case.
func (t Table) Match(method, path string) Verdict {
	var v Verdict
	for _, r := range t.rows {
		if !r.matches(path) {
			continue
		}
		if r.Method == method {
			return Verdict{Outcome: Found, Pattern: r.Pattern}
		}
		v.Outcome = MethodNotAllowed
		if !slices.Contains(v.Allow, r.Method) {
			v.Allow = append(v.Allow, r.Method)
		}
	}
	slices.Sort(v.Allow)
	return v
}

func (r row) matches(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	for i, p := range r.parts {
		if !ok {
			return false
		}
		var text string
		text, rest, ok = strings.Cut(rest, "/")
		if !p.matches(text) {
			return false
		}
		if last := i == len(r.parts)-1; last && ok {
			return false
		}
	}
	return true
}

func (p part) matches(text string) bool {
	if !p.star {
		return text == p.head
	}
	if len(text) <= len(p.head)+len(p.tail) || !strings.HasPrefix(text, p.head) || !strings.HasSuffix(text, p.tail) || text == ".." || text == "." {
		return false
	}
	for i := len(p.head); i < len(text)-len(p.tail); i++ {
		if text[i] == ':' || !isPathByte(text[i]) {
			return false
		}
	}
	return true
}
