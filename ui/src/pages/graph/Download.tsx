// Saves the whole view as a picture, in the colours of the page.
import type { Schema } from "../../api/client";
import { useState } from "react";
import { save as saveAs } from "../../parts/save";
import { layout } from "./layout";
import { pictureOf, type Colours } from "./picture";

const SCALE = 2;
/** Browsers draw no larger pictures. */
const PIXELS_MAX = 16_000;

export function Download({ view }: { view: Schema["GraphView"] }) {
  // always from left to right, also where the window is narrow
  const picture = async () => pictureOf(view, await layout(view), coloursOfPage());
  const [failed, setFailed] = useState(false);
  const save = (made: Promise<Blob | null>, ending: string) =>
    void made.then(
      (blob) => blob && saveAs(blob, `${name}.${ending}`),
      () => setFailed(true),
    );
  const name = `graph${view.root ? `-${view.root.split(":").slice(1).join(":")}` : ""}`;
  return (
    <span className="save" role="group" aria-label="Save the graph as a picture">
      <button
        type="button"
        className="button small"
        onClick={() =>
          save(
            picture().then(({ svg }) => new Blob([svg], { type: "image/svg+xml" })),
            "svg",
          )
        }
      >
        Save SVG
      </button>
      <button
        type="button"
        className="button small"
        onClick={() => save(picture().then(png), "png")}
      >
        Save PNG
      </button>
      {failed && <span role="alert">The picture can’t be drawn.</span>}
    </span>
  );
}

async function png({
  svg,
  width,
  height,
}: {
  svg: string;
  width: number;
  height: number;
}): Promise<Blob | null> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const scale = Math.min(SCALE, PIXELS_MAX / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function coloursOfPage(): Colours {
  const style = getComputedStyle(document.documentElement);
  const variable = (name: string) => resolved(style.getPropertyValue(name));
  const tones = ["good", "warn", "bad", "idle", "busy"] as const;
  return {
    ground: variable("--ground"),
    surface: variable("--surface"),
    line: variable("--line-strong"),
    text: variable("--text"),
    muted: variable("--muted"),
    tones: Object.fromEntries(tones.map((tone) => [tone, variable(`--${tone}`)])),
  };
}

/** A colour as it is shown, such as one of `light-dark()`. */
function resolved(colour: string): string {
  const probe = document.createElement("span");
  probe.style.color = colour;
  document.body.append(probe);
  const result = getComputedStyle(probe).color;
  probe.remove();
  return result;
}
