package keep

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

func TestAKeyIsVisibleASCII(t *testing.T) {
	cases := map[string]struct{ value, want string }{
		"a key":                             {"sk-ant-api03-abc_DEF.123/+=~", ""},
		"nothing":                           {"", "is empty"},
		"only a newline":                    {"\n", "consists of blanks only"},
		"a final newline, as editors do":    {"sk-1\n", "ends with a newline"},
		"a final newline of Windows":        {"sk-1\r\n", "ends with a newline"},
		"a final carriage return":           {"sk-1\r", "begins or ends with a blank"},
		"a leading blank":                   {" sk-1", "begins or ends with a blank"},
		"two lines":                         {"sk-1\nsk-2", "has a blank or a newline in it"},
		"a scheme before the key":           {"Bearer sk-1", "has a blank or a newline in it"},
		"a control character":               {"sk-\x00-1", "has a character in it that no header can carry"},
		"DEL":                               {"sk-\x7f1", "has a character in it that no header can carry"},
		"a dash that a word processor made": {"sk–1", "has a character in it that no header can carry"},
		"broken UTF-8":                      {"sk-\xff1", "has a character in it that no header can carry"},
		"a non-breaking space at its end":   {"sk-1\u00a0", "begins or ends with a blank"},
		"the longest key":                   {strings.Repeat("k", MaxKeySize), ""},
		"a key that is too long":            {strings.Repeat("k", MaxKeySize+1), "is too long for a key"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Malformed([]byte(c.value))); diff != "" {
				t.Errorf("what is wrong (-want +got):\n%s", diff)
			}
		})
	}
}

// What is taken for a key fits into a header as it is; of the rest nothing is said but one of a few sentences.
func FuzzMalformed(f *testing.F) {
	for _, seed := range []string{"", "sk-1", "sk-1\n", "a b", "\x00", "é", "\n"} {
		f.Add([]byte(seed))
	}
	sentences := []string{
		"is empty", "consists of blanks only", "is too long for a key", "ends with a newline", "begins or ends with a blank",
		"has a blank or a newline in it", "has a character in it that no header can carry",
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		fits := len(value) > 0 && len(value) <= MaxKeySize && !slices.ContainsFunc(value, func(b byte) bool { return b <= ' ' || b > '~' })
		problem := Malformed(value)
		if fits != (problem == "") || !fits && !slices.Contains(sentences, problem) {
			t.Errorf("%q: %q", value, problem)
		}
	})
}

func TestTheFirstKindWhosePrefixMatchesCounts(t *testing.T) {
	kinds := []v1alpha1.TokenKind{
		{Name: "oauth", Prefix: "sk-ant-oat", Policy: v1alpha1.TokenPolicyDeny},
		{Name: "api-key", Prefix: "sk-ant-"},
		{Name: "any", Prefix: "sk-"},
	}
	cases := map[string]struct {
		key  string
		want *v1alpha1.TokenKind
	}{
		"the more specific one comes first": {"sk-ant-oat01-x", &kinds[0]},
		"the next":                          {"sk-ant-api03-x", &kinds[1]},
		"the last":                          {"sk-proj-x", &kinds[2]},
		"the prefix somewhere else":         {"x-sk-ant-", nil},
		"no key":                            {"", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := TokenKindOf(kinds, c.key); got != c.want {
				t.Errorf("kind %v, want %v", got, c.want)
			}
		})
	}
}

func TestARevisionTellsNothingOfTheKey(t *testing.T) {
	secret := func(key string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "5512"}, Data: map[string][]byte{"api-key": []byte(key)}}
	}
	if diff := cmp.Diff("5512", Revision(secret("a"))); diff != "" {
		t.Errorf("revision (-want +got):\n%s", diff)
	}
	if Revision(secret("a")) != Revision(secret("b")) {
		t.Error("the revision depends on the key")
	}
}
