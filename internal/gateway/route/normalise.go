// Package route decides which requests may go to a provider: those whose method and path an admin listed, and no others.
package route

import (
	"errors"
	"strings"
)

// maxPath bounds what is looked at; the longest paths of providers have some hundred characters.
const maxPath = 4096

// Why a path is refused. The errors never repeat the path: somebody may have put a key into it.
var (
	errLong     = errors.New("the path is too long")
	errRelative = errors.New("the path must begin with a slash")
	errEmpty    = errors.New("the path has an empty part")
	errDots     = errors.New("the path has a part of dots")
	errEscape   = errors.New("the path has a broken percent-encoding")
	errByte     = errors.New("the path has a character that paths of providers do not need")
)

// Normalise turns the path of a request, as it came over the wire (url.URL.EscapedPath), into the one that is matched and sent on.
//
// Percent-encodings are decoded once. What is left must consist of parts of pchar (RFC 3986, section 3.3) without ";", which some servers cut
// parts at: so encoded slashes and backslashes, double encodings, control characters and everything beyond ASCII are refused, as are empty
// parts, "." and "..". The result needs no encoding, and normalising it again changes nothing: two parsers cannot read it in two ways.
func Normalise(rawEscapedPath string) (string, error) {
	if len(rawEscapedPath) > maxPath {
		return "", errLong
	}
	if !strings.HasPrefix(rawEscapedPath, "/") {
		return "", errRelative
	}
	var b strings.Builder
	b.Grow(len(rawEscapedPath))
	for part := range strings.SplitSeq(rawEscapedPath[1:], "/") {
		decoded, err := decode(part)
		if err != nil {
			return "", err
		}
		switch decoded {
		case "":
			return "", errEmpty
		case ".", "..":
			return "", errDots
		}
		b.WriteByte('/')
		b.WriteString(decoded)
	}
	return b.String(), nil
}

// decode takes the percent-encodings off one part of a path.
func decode(part string) (string, error) {
	decoded := make([]byte, 0, len(part))
	for i := 0; i < len(part); i++ {
		c := part[i]
		if c == '%' {
			if i+2 >= len(part) || !isHex(part[i+1]) || !isHex(part[i+2]) {
				return "", errEscape
			}
			c = unhex(part[i+1])<<4 | unhex(part[i+2])
			i += 2
		}
		if !isPathByte(c) {
			return "", errByte
		}
		decoded = append(decoded, c)
	}
	return string(decoded), nil
}

// isPathByte is true for pchar of RFC 3986 without "%" and ";".
func isPathByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
