/** A line of a row: one path, no axis. The numbers beside it say the same. */

export function Spark({ values }: { values: readonly number[] }) {
  if (values.length < 2) return null;
  const most = Math.max(1, ...values);
  const path = values
    .map((value, index) => {
      const y = (19 - (value / most) * 17).toFixed(1);
      return index === 0 ? `M0 ${y}H1` : `V${y}H${index + 1}`;
    })
    .join("");
  return (
    <svg class="spark" viewBox={`0 0 ${values.length} 20`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}
