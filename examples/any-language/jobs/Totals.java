// Rows and the sum of `amount` of the first input, as one JSON line. Needs gson.
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

class Totals {
    public static void main(String[] arguments) throws Exception {
        String text = Files.readString(Path.of(System.getenv("HEADRACE_CONTEXT")));
        JsonObject context = JsonParser.parseString(text).getAsJsonObject();
        JsonObject inputs = context.getAsJsonObject("inputs");
        String name = inputs.keySet().iterator().next();
        Path input = Path.of(inputs.getAsJsonObject(name).get("path").getAsString());

        long orders = 0;
        BigDecimal amount = BigDecimal.ZERO;
        try (BufferedReader lines = Files.newBufferedReader(input, StandardCharsets.UTF_8)) {
            for (String line; (line = lines.readLine()) != null; orders++) {
                JsonElement value = JsonParser.parseString(line).getAsJsonObject().get("amount");
                if (!value.isJsonNull()) amount = amount.add(value.getAsBigDecimal());
            }
        }

        JsonObject row = new JsonObject();
        row.add("partition", context.get("partition"));
        row.addProperty("orders", orders);
        row.addProperty("amount", amount);
        Path output = Path.of(context.get("output_directory").getAsString(), "rows.jsonl");
        Files.writeString(output, row + "\n");
        Files.writeString(
            Path.of(System.getenv("HEADRACE_EVENTS")),
            "{\"event\": \"progress\", \"value\": 1}\n",
            StandardOpenOption.APPEND);
    }
}
