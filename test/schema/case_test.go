// Package schema tests what the API server takes and refuses: every file in testdata/valid and testdata/invalid, by the
// schema itself (without a server, also with -short) and by a real API server.
package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// testCase is a file of testdata. Its objects are applied one after the other under one name: all of a valid file are
// taken; the last of an invalid file is refused.
type testCase struct {
	name    string
	objects []*unstructured.Unstructured
	want    []string // each is a part of the refusal; from comments such as "# want: prompt must not be empty"
	canary  []string // each must not be part of it: "# canary: sk-..."
	// complaints is how many there must be; 0 for any number: "# complaints: 1"
	complaints int
}

// server takes objects or refuses them. before is nil for a new object; what is taken is returned as it is stored.
type server interface {
	store(t *testing.T, before, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
}

func casesIn(t *testing.T, dir string) []testCase {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s (%v)", dir, err)
	}
	cases := make([]testCase, 0, len(paths))
	for _, path := range paths {
		cases = append(cases, readCase(t, path))
	}
	return cases
}

func readCase(t *testing.T, path string) testCase {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := testCase{name: strings.TrimSuffix(filepath.Base(path), ".yaml"), objects: parseObjects(t, string(content))}
	for line := range strings.Lines(string(content)) {
		if want, found := strings.CutPrefix(line, "# want: "); found {
			c.want = append(c.want, strings.TrimSpace(want))
		}
		if canary, found := strings.CutPrefix(line, "# canary: "); found {
			c.canary = append(c.canary, strings.TrimSpace(canary))
		}
		if line == "# complaints: 1\n" {
			c.complaints = 1
		}
	}
	return c
}

func parseObjects(t *testing.T, content string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(content, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

// checkValid fails unless every object of the case is taken.
func checkValid(t *testing.T, s server, c testCase) {
	t.Helper()
	var before *unstructured.Unstructured
	for i, object := range c.objects {
		stored, err := s.store(t, before, object)
		if err != nil {
			t.Fatalf("object %d is refused: %v", i+1, err)
		}
		before = stored
	}
}

// checkInvalid fails unless the last object of the case is refused, for the reasons that the case gives.
func checkInvalid(t *testing.T, s server, c testCase) {
	t.Helper()
	if len(c.want) == 0 {
		t.Fatal("the file does not say what it wants: begin it with `# want: <message>`")
	}
	var before *unstructured.Unstructured
	last := len(c.objects) - 1
	for _, object := range c.objects[:last] {
		stored, err := s.store(t, before, object)
		if err != nil {
			t.Fatalf("an object before the last is refused: %v", err)
		}
		before = stored
	}
	_, err := s.store(t, before, c.objects[last])
	if err == nil {
		t.Fatalf("the object is taken, want: %s", strings.Join(c.want, "; "))
	}
	for _, want := range c.want {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %q, want %q", err, want)
		}
	}
	checkSaid(t, c, err.Error())
}

// checkSaid fails where a refusal repeats what may be a key, since it ends up in logs and tickets, or says more than was asked for.
func checkSaid(t *testing.T, c testCase, refusal string) {
	t.Helper()
	for _, canary := range c.canary {
		if strings.Contains(refusal, canary) {
			t.Errorf("the refusal repeats %q: %s", canary, refusal)
		}
	}
	if n := strings.Count(refusal, " must "); c.complaints > 0 && n != c.complaints {
		t.Errorf("there are %d complaints, want %d: %s", n, c.complaints, refusal)
	}
}
