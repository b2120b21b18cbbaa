// Check a chart: `go run . CHART [VALUES.yaml ...]`. Lint it, render it, and decode each object strictly as the type of
// Kubernetes that it says it is: an unknown field, a wrong type or an unknown kind is an error. Print what was rendered.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// Kinds that come with an operator, which have no types here.
var foreign = []string{"monitoring.coreos.com/v1"}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: check CHART [VALUES.yaml ...]"))
	}
	values, err := given(os.Args[2:])
	fail(err)
	fail(linted(os.Args[1], values))
	documents, err := rendered(os.Args[1], values)
	fail(err)
	for _, document := range documents {
		fail(checked(document))
		fmt.Printf("---\n%s\n", document)
	}
}

// given merges files of values, the later over the former.
func given(files []string) (map[string]any, error) {
	values := map[string]any{}
	for _, file := range files {
		more, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		values = chartutil.MergeTables(more.AsMap(), values)
	}
	return values, nil
}

func linted(chart string, values map[string]any) error {
	for _, message := range lint.All(chart, values, "tally", true).Messages {
		if message.Severity >= support.WarningSev {
			return fmt.Errorf("%s: %w", message.Path, message.Err)
		}
	}
	return nil
}

// rendered returns the objects of a release as YAML, in the order of their files.
func rendered(folder string, values map[string]any) ([][]byte, error) {
	chart, err := loader.Load(folder)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "tally", Namespace: "counting", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	var documents [][]byte
	names := []string{}
	for name := range files {
		if strings.HasSuffix(name, ".yaml") && !strings.HasPrefix(path.Base(name), "_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			document, err := reader.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if hasContent(document) {
				documents = append(documents, bytes.TrimSpace(document))
			}
		}
	}
	return documents, nil
}

// hasContent tells whether there is more than comments.
func hasContent(document []byte) bool {
	for line := range bytes.Lines(document) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' && string(text) != "---" {
			return true
		}
	}
	return false
}

func checked(document []byte) error {
	for _, group := range foreign {
		if bytes.Contains(document, []byte("apiVersion: "+group+"\n")) {
			return nil
		}
	}
	strict := json.NewSerializerWithOptions(
		json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	if _, _, err := strict.Decode(document, nil, nil); err != nil {
		return fmt.Errorf("%w in\n%s", err, document)
	}
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
