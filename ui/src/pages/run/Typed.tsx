import { useState } from "react";

type Props = {
  label: string;
  value: string | undefined;
  placeholder?: string;
  choose: (value: string) => void;
};

/** A typed filter: it filters when it is left, or by Enter. */
export function Typed(props: Props) {
  return <Field key={props.value} {...props} />;
}

function Field({ label, value = "", placeholder, choose }: Props) {
  const [text, setText] = useState(value);
  const done = () => {
    if (text.trim() !== value) choose(text.trim());
  };
  return (
    <label>
      {label}
      <input
        className="input"
        value={text}
        placeholder={placeholder}
        maxLength={200}
        onChange={(event) => setText(event.target.value)}
        onBlur={done}
        onKeyDown={(event) => {
          if (event.key === "Enter") done();
        }}
      />
    </label>
  );
}
