package run

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// encodeParameters writes the number of tensors, and for each, by name: its name, its number of values, its values.
func encodeParameters(params map[string][]float32) []byte {
	b := binary.AppendUvarint(nil, uint64(len(params)))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = binary.AppendUvarint(b, uint64(len(params[name])))
		for _, v := range params[name] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

func decodeParameters(b []byte) (map[string][]float32, error) {
	// take cuts as many bytes off the front as the number before them says, each counted number being size bytes.
	take := func(size int) ([]byte, error) {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used)/uint64(size) {
			return nil, errShort
		}
		part := b[used : used+int(n)*size]
		b = b[used+int(n)*size:]
		return part, nil
	}
	count, used := binary.Uvarint(b)
	if used <= 0 {
		return nil, errShort
	}
	b = b[used:]
	params := map[string][]float32{}
	for range count {
		name, err := take(1)
		if err != nil {
			return nil, err
		}
		data, err := take(4)
		if err != nil {
			return nil, err
		}
		values := make([]float32, len(data)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		params[string(name)] = values
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%d bytes follow its end", len(b))
	}
	return params, nil
}
