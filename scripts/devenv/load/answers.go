package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	podCount    = 500
	secretCount = 100
	// The API server compresses only what is larger, for clients that accept it, at this level.
	gzipThreshold = 128 << 10
	gzipLevel     = 1
)

// The bodies that a real API server gave for a Deployment's pod and an applied Secret, with NAME, INDEX and ADDRESS
// where one object differs from the next.
//
//go:embed data
var data embed.FS

// answer is one canned reply. The parts are written one by one, as the API server does with the items of a list.
type answer struct {
	contentType string
	parts       [][]byte
	compressed  []byte // nil below the threshold
}

// answers has the replies by path, and by path and " table" for clients that ask for a Table.
func answers() map[string]answer {
	pod, secret := document("pod.json"), document("secret.json")
	pods := numbered(pod, "web-7d9f8c6b5-%05d", podCount)
	secrets := numbered(secret, "database-%03d", secretCount)
	const namespaced = "/api/v1/namespaces/default/"
	found := map[string]answer{
		namespaced + "pods/web-7d9f8c6b5-00000":       whole(pods[0].text),
		namespaced + "pods/web-7d9f8c6b5-00000 table": table("pod-table.json", pods[:1]),
		namespaced + "pods":                           list("PodList", pods),
		namespaced + "pods table":                     table("pod-table.json", pods),
		namespaced + "secrets":                        list("SecretList", secrets),
		namespaced + "secrets table":                  table("secret-table.json", secrets),
		"/version":                                    whole(`{"major":"1","minor":"37","gitVersion":"v1.37.2","platform":"linux/amd64"}`),
	}
	for path, file := range map[string]string{"/api": "api.json", "/apis": "apis.json"} {
		discovery := whole(document(file))
		discovery.contentType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
		found[path] = discovery
	}
	return found
}

// object is one object's text and what its row of a Table shows.
type object struct{ text, name, address string }

func numbered(text, name string, count int) []object {
	objects := make([]object, count)
	for i := range objects {
		object := object{name: fmt.Sprintf(name, i), address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
		replace := strings.NewReplacer("NAME", object.name, "INDEX", fmt.Sprintf("%012d", i), "ADDRESS", object.address)
		object.text = replace.Replace(text)
		objects[i] = object
	}
	return objects
}

// document is a file of data, without the white space that kubectl never gets.
func document(file string) string {
	text, err := data.ReadFile("data/" + file)
	if err != nil {
		panic(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		panic(err)
	}
	return compact.String()
}

func whole(text string) answer { return newAnswer([][]byte{[]byte(text + "\n")}) }

// list has the items without kind and apiVersion, as lists of built-in kinds do.
func list(kind string, objects []object) answer {
	parts := [][]byte{[]byte(`{"kind":"` + kind + `","apiVersion":"v1","metadata":{"resourceVersion":"104211"},"items":[`)}
	for i, object := range objects {
		item := "{" + object.text[strings.Index(object.text, `"metadata":`):]
		if i < len(objects)-1 {
			item += ","
		}
		parts = append(parts, []byte(item))
	}
	return newAnswer(append(parts, []byte("]}\n")))
}

// table has the metadata of each object in its row, as kubectl's own Tables do.
func table(file string, objects []object) answer {
	var shape struct{ ColumnDefinitions, Cells json.RawMessage }
	must(json.Unmarshal([]byte(document(file)), &shape))
	rows := make([]string, len(objects))
	for i, object := range objects {
		var item struct{ Metadata json.RawMessage }
		must(json.Unmarshal([]byte(object.text), &item))
		cells := strings.NewReplacer("NAME", object.name, "ADDRESS", object.address).Replace(string(shape.Cells))
		rows[i] = `{"cells":` + cells + `,"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":` +
			string(item.Metadata) + `}}`
	}
	return whole(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"104211"},"columnDefinitions":` +
		string(shape.ColumnDefinitions) + `,"rows":[` + strings.Join(rows, ",") + `]}`)
}

func newAnswer(parts [][]byte) answer {
	made := answer{contentType: "application/json", parts: parts}
	body := bytes.Join(parts, nil)
	if !json.Valid(body) {
		panic("not JSON: " + string(body[:min(len(body), 200)]))
	}
	if len(body) > gzipThreshold {
		var compressed bytes.Buffer
		writer, err := gzip.NewWriterLevel(&compressed, gzipLevel)
		must(err)
		_, err = writer.Write(body)
		must(err)
		must(writer.Close())
		made.compressed = compressed.Bytes()
	}
	return made
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
