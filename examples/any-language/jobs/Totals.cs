// Rows and the sum of `amount` of the first input, as one JSON line.
// Compile with: mcs -r:System.Web.Extensions jobs/Totals.cs
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Web.Script.Serialization;

class Totals
{
    static void Main()
    {
        var json = new JavaScriptSerializer { MaxJsonLength = int.MaxValue };
        var text = File.ReadAllText(Environment.GetEnvironmentVariable("HEADRACE_CONTEXT"));
        var context = json.Deserialize<Dictionary<string, object>>(text);
        var inputs = (Dictionary<string, object>)context["inputs"];
        var input = (Dictionary<string, object>)inputs.Values.First();

        long orders = 0;
        decimal amount = 0;
        foreach (var line in File.ReadLines((string)input["path"]))
        {
            var value = json.Deserialize<Dictionary<string, object>>(line)["amount"];
            if (value != null) amount += Convert.ToDecimal(value);
            orders += 1;
        }

        var row = new Dictionary<string, object>
        {
            ["partition"] = context["partition"],
            ["orders"] = orders,
            ["amount"] = amount,
        };
        var output = Path.Combine((string)context["output_directory"], "rows.jsonl");
        File.WriteAllText(output, json.Serialize(row) + "\n");
        File.AppendAllText(
            Environment.GetEnvironmentVariable("HEADRACE_EVENTS"),
            "{\"event\": \"progress\", \"value\": 1}\n");
    }
}
