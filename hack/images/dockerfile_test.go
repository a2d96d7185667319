package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dockerfile is the Dockerfile at the top of the checkout: the instructions of each stage, by stage name.
func dockerfile(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string][]string{}
	stage := ""
	for line := range strings.Lines(strings.ReplaceAll(comments.ReplaceAllString(string(text), ""), "\\\n", "")) {
		line = strings.Join(strings.Fields(line), " ")
		if from, name, ok := strings.Cut(line, " AS "); ok && strings.HasPrefix(from, "FROM ") {
			stage = name
		}
		if line != "" {
			stages[stage] = append(stages[stage], line)
		}
	}
	return stages
}

var comments = regexp.MustCompile(`(?m)^\s*#.*\n`)

// argument returns what follows the only instruction of a stage that starts with prefix.
func argument(t *testing.T, stage []string, prefix string) string {
	t.Helper()
	var found []string
	for _, line := range stage {
		if rest, ok := strings.CutPrefix(line, prefix+" "); ok {
			found = append(found, rest)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d instructions start with %q, want 1", len(found), prefix)
	}
	return found[0]
}

func TestDockerfileRunsTheImagesTheSameWay(t *testing.T) {
	stages := dockerfile(t)
	for _, d := range catalog() {
		if d.audience != forEveryone {
			if _, ok := stages[d.name]; ok {
				t.Errorf("the Dockerfile builds %s, which is not shipped", d.name)
			}
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			stage := stages[d.name]
			if got := argument(t, stage, "USER"); got != d.config.User {
				t.Errorf("USER %s, want %s", got, d.config.User)
			}
			if got := argument(t, stage, "WORKDIR"); got != d.config.WorkingDir {
				t.Errorf("WORKDIR %s, want %s", got, d.config.WorkingDir)
			}
			if got, want := argument(t, stage, "ENV"), strings.Join(d.config.Env, " "); got != want {
				t.Errorf("ENV %s, want %s", got, want)
			}
			if diff := cmp.Diff(d.labels(), labelsOf(t, argument(t, stage, "LABEL"))); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if got := commandOf(t, stage); !slices.Equal(got, d.config.Cmd) {
				t.Errorf("CMD %v, want %v", got, d.config.Cmd)
			}
		})
	}
}

func labelsOf(t *testing.T, text string) map[string]string {
	t.Helper()
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`([a-z.]+)=("[^"]*")`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.Unquote(m[2])
		if err != nil {
			t.Fatal(err)
		}
		labels[m[1]] = value
	}
	return labels
}

func commandOf(t *testing.T, stage []string) []string {
	t.Helper()
	if !slices.ContainsFunc(stage, func(line string) bool { return strings.HasPrefix(line, "CMD ") }) {
		return nil
	}
	var args []string
	if err := json.Unmarshal([]byte(argument(t, stage, "CMD")), &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func TestDockerfileInstallsTheSamePackages(t *testing.T) {
	stage := dockerfile(t)["debian"]
	if want := "FROM --platform=linux/amd64 debian:" + debianSuite + "-slim AS debian"; stage[0] != want {
		t.Errorf("the stage starts with %q, want %q", stage[0], want)
	}
	install := regexp.MustCompile(`apt-get install --yes --no-install-recommends ([^&]*) &&`).FindStringSubmatch(argument(t, stage, "RUN"))
	if install == nil {
		t.Fatal("no packages are installed")
	}
	if diff := cmp.Diff(debianPackages, strings.Fields(install[1])); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestDockerfileMakesTheSameUsers(t *testing.T) {
	stages := dockerfile(t)
	debian := argument(t, stages["debian"], "RUN")
	for _, want := range []string{
		fmt.Sprintf("groupadd --gid %d %s", agentID, agentName),
		fmt.Sprintf("useradd --uid %[1]d --gid %[1]d --home-dir %s", agentID, agentHome),
		fmt.Sprintf("install --directory --owner=%[1]d --group=%[1]d %s %s", agentID, agentHome, workspacePath),
		"-perm /6000 -type f -exec chmod ug-s",
	} {
		if !strings.Contains(debian, want) {
			t.Errorf("the debian stage does not say %q", want)
		}
	}
	users, groups := operatorUsers()
	for _, want := range []string{users, groups} {
		want = strings.ReplaceAll(want, "\n", `\n`)
		if !slices.ContainsFunc(stages["programs"], func(line string) bool { return strings.Contains(line, "printf '"+want+"'") }) {
			t.Errorf("the programs stage does not write %q", want)
		}
	}
}

func TestDockerfilePinsTheSamePackagesOfNpm(t *testing.T) {
	stages := dockerfile(t)
	want := make([]string, 0, len(openCodeFiles))
	for _, f := range openCodeFiles {
		want = append(want, fmt.Sprintf("RUN fetch %s %s %s", f.pkg.name, f.pkg.version, f.pkg.integrity))
		place := fmt.Sprintf("COPY --from=npm --chown=0:0 --chmod=%04o /npm/%s/package/%s %s", f.mode, f.pkg.name, f.source, f.target)
		if !slices.Contains(stages["opencode"], place) {
			t.Errorf("the opencode stage does not say %q", place)
		}
	}
	got := slices.DeleteFunc(slices.Clone(stages["npm"]), func(line string) bool { return !strings.HasPrefix(line, "RUN fetch ") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestDockerfileCompilesTheSameWay(t *testing.T) {
	programs := strings.Join(dockerfile(t)["programs"], "\n")
	for _, want := range []string{
		"CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags \"-s -w -X main.version=$VERSION\"",
		"ARG VERSION=" + settings{}.programVersion(),
		"cmd/*/main.go",
	} {
		if !strings.Contains(programs, want) {
			t.Errorf("the programs stage does not say %q", want)
		}
	}
	for _, name := range onPeoplesMachines {
		if !strings.Contains(programs, `[ "$name" = `+name+` ]; then continue`) {
			t.Errorf("the Dockerfile ships %s", name)
		}
	}
}

func TestDockerfileHoldsTheSameLicences(t *testing.T) {
	stages := dockerfile(t)
	for stage, want := range map[string]string{
		"programs": "RUN go run ./hack/images licenses " + licensesFolder,
		"sandkeep": fmt.Sprintf("COPY --from=programs %[1]s/ %[1]s/", licensesFolder),
	} {
		if !slices.Contains(stages[stage], want) {
			t.Errorf("the %s stage does not say %q", stage, want)
		}
	}
}

func TestDockerfileUsesTheGoOfTheModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(text)
	if version == nil {
		t.Fatal("go.mod names no version")
	}
	want := fmt.Sprintf("FROM --platform=linux/amd64 golang:%s-%s AS programs", version[1], debianSuite)
	if got := dockerfile(t)["programs"][0]; got != want {
		t.Errorf("the stage starts with %q, want %q", got, want)
	}
}
