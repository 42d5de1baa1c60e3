// A name that breaks after its underscores, where it has to: flights_ then clean, not flights_cle then an.
import { Fragment } from "react";

export function BreakableName({ of }: { of: string }) {
  return (
    <>
      {of.split(/(?<=_)/).map((word, index) => (
        // eslint-disable-next-line @eslint-react/no-array-index-key -- the parts of a name have nothing but their order
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {word}
        </Fragment>
      ))}
    </>
  );
}
